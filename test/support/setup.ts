/** Runs around every test file; many files run in one process. */
import { afterAll, afterEach, expect, it, makeMethods } from "@effect/vitest"
import * as Data from "effect/Data"
import { endFile } from "./suiteWatch.js"

// `layer` of @effect/vitest puts methods of its own on this very `it`, where the next file has it.
makeMethods(it)

// An assertion that fails asks what it shows to inspect itself. An error of Effect's answers with
// itself, until the stack overflows: this comes first.
Object.defineProperty(Data.Error.prototype, Symbol.for("chai/inspect"), {
  configurable: true,
  value(this: Error & { readonly _tag?: string }) {
    return `${this._tag ?? this.name}: ${this.message}`
  }
})

// Vitest's processes talk to each other between turns of the event loop, and give up after a
// minute ("Timeout calling onTaskUpdate"). Tests without I/O take no turn by themselves.
afterEach(() => new Promise<void>((resolve) => setImmediate(resolve)))

// No secret that was in use has leaked.
afterAll(() => {
  expect(endFile().slice(0, 5)).toEqual([])
})
