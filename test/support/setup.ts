/** Runs around every test file; many files run in one process. */
import { makeMethods } from "@effect/vitest"
import { afterAll, expect, it } from "vitest"
import { endFile } from "./suiteWatch.js"

// `layer` of @effect/vitest puts methods of its own on this very `it`, where the next file has it.
makeMethods(it)

// No secret that was in use has leaked.
afterAll(() => {
  expect(endFile().slice(0, 5)).toEqual([])
}, 120_000)
