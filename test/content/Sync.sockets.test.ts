/** Syncs over sockets, between repositories of one host. */
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Artifact from "../../src/content/Artifact.js"
import * as Sync from "../../src/content/Sync.js"
import * as Registries from "../../src/Registries.js"
import { describeDebian } from "../support/debian.js"
import { items, utf8 } from "../support/fixtures.js"
import { layerDebianHost, layerEmbeddedHost, repositoryOnHost } from "../support/hosts.js"

const synced = Effect.fnUntraced(function* (throwaway: boolean) {
  const [from, to] = [yield* repositoryOnHost, yield* repositoryOnHost]
  const put = (tag: string) =>
    Artifact.push(`${from}:${tag}`, {
      artifactType: "application/vnd.example.v1",
      files: [{ source: utf8(tag) }]
    })
  yield* put("1.0.0")
  yield* put("1.1.0")
  const tags = { semver: "*", newest: 2 }
  const rules = { rules: [{ from, to, tags, delete: { share: 0.5, throwaway } }] }
  const first = yield* Sync.run(rules)
  expect(Sync.formatReport(first)).toBe(`${from} to ${to}: 2 copied`)
  // The two manifests: their content is mounted.
  expect(first.repositories[0]?.summary).toMatchObject({ moved: { nodes: 2 } })
  yield* put("2.0.0")
  const second = yield* Sync.run(rules)
  expect(Sync.formatReport(second)).toBe(`${from} to ${to}: 1 copied, 1 present, 1 removed`)
  expect([...(yield* items(Registries.tags(to)))].sort()).toEqual(["1.1.0", "2.0.0"])
})

/** Where the registry has no API for referrers, their list is under a tag, and merged. */
const signed = Effect.gen(function* () {
  const [from, to] = [yield* repositoryOnHost, yield* repositoryOnHost]
  const artifactType = "application/vnd.example.v1"
  const sign = (text: string) =>
    Artifact.attach(`${from}:v1`, { artifactType, files: [{ source: utf8(text) }] })
  yield* Artifact.push(`${from}:v1`, { artifactType, files: [{ source: utf8("v1") }] })
  yield* sign("first")
  const rules = { rules: [{ from, to, referrers: true }] }
  for (const [expected, more] of [
    ["1 copied", Effect.void],
    ["1 present", sign("second")],
    ["1 copied", Effect.void],
    ["1 present", Effect.void]
  ] as const) {
    expect(Sync.formatReport(yield* Sync.run(rules))).toBe(`${from} to ${to}: ${expected}`)
    yield* more
  }
  expect(yield* items(Registries.referrers(`${to}:v1`))).toHaveLength(2)
})

layer(layerEmbeddedHost, { excludeTestServices: true })("over the embedded registry", (it) => {
  it.effect("copies what is new, and removes what is gone", () => synced(false))
  it.effect("copies a signature that comes after its image (CP11)", () => signed)
})

describeDebian("over Debian's docker-registry", () => {
  layer(layerDebianHost, { excludeTestServices: true })((it) => {
    it.effect("copies what is new, and removes what is gone", () => synced(true))
    it.effect("copies a signature that comes after its image (CP11)", () => signed)
  })
})
