/**
 * What the four earlier clients have, row by row, and the defects that ours must not have: see
 * docs/rules.md for what each is (RG1 to RG27, HK1 to HK24, SN1 to SN7, EP1 to EP16).
 */
import { describe, expect, it } from "@effect/vitest"
import * as dockerRegistryClient from "./dockerRegistryClient.js"
import * as epoch from "./epoch.js"
import * as reggie from "./reggie.js"
import * as sonar from "./sonar.js"
import type { Row } from "./world.js"

const numbered = (prefix: string, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`)

const ids = [
  ...numbered("RG", 27),
  ...numbered("RG defect ", 10),
  ...numbered("HK", 24),
  ...numbered("HK defect ", 15),
  ...numbered("SN", 7),
  ...numbered("SN defect ", 9),
  ...numbered("EP", 16),
  ...numbered("EP defect ", 11)
]

const rows: Readonly<Record<string, Row>> = {
  ...reggie.rows,
  ...dockerRegistryClient.rows,
  ...sonar.rows,
  ...epoch.rows
}

it("every row has an entry, and no other is there", () => {
  expect(Object.keys(rows).sort()).toEqual([...ids].sort())
})

describe("row", () => {
  for (const id of ids) {
    const row = rows[id]
    if (row !== undefined) it.scopedLive(id, () => row)
  }
})
