/** The watch over the whole suite sees what it is there to see. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { RegistryFailure, TransportFailure } from "../src/RegistryError.js"
import { ignoreSecrets, leaks } from "./support/suiteWatch.js"

ignoreSecrets()

let count = 0

/** A secret that no other test has. */
const fresh = (): string => {
  const secret = `secret-${++count}-${"x".repeat(count)}`
  Redacted.make(secret)
  return secret
}

const ways: Readonly<Record<string, (secret: string) => Effect.Effect<unknown>>> = {
  "an error that somebody catches": (secret) =>
    Effect.ignore(
      Effect.fail(new RegistryFailure({ status: 500, url: `https://registry.test/${secret}` }))
    ),
  "the cause of an error, deep inside": (secret) =>
    Effect.sync(
      () => new TransportFailure({ reason: "Reset", cause: { request: { headers: [secret] } } })
    ),
  "a line of the log": (secret) => Effect.log(`asking with ${secret}`),
  "an annotation of the log": (secret) => Effect.annotateLogs(Effect.log("asking"), "with", secret),
  "the cause in a line of the log": (secret) =>
    Effect.catchAllCause(Effect.fail({ secret }), (cause) => Effect.logError("failed", cause)),
  "a span": (secret) => Effect.withSpan(Effect.void, "asking", { attributes: { secret } }),
  "the failure of a span": (secret) =>
    Effect.exit(Effect.withSpan(Effect.fail(new Error(secret)), "asking")),
  "the span of a stream": (secret) => Stream.runDrain(Stream.withSpan(Stream.empty, secret)),
  "the label of a metric": (secret) =>
    Metric.increment(Metric.tagged(Metric.counter("leaking"), "who", secret)),
  "the console": (secret) => Effect.sync(() => console.debug({ secret })),
  "the base64 of a login": (secret) =>
    Effect.log(Buffer.from(`alice:${secret}`).toString("base64")),
  "a form": (secret) => Effect.log(new URLSearchParams({ password: secret }).toString())
}

const leaked = (beginning: string): boolean => leaks().some((leak) => leak.startsWith(beginning))

describe("a secret is found in", () => {
  for (const [name, leak] of Object.entries(ways)) {
    for (const [kind, test] of [
      ["with a TestClock", it.effect],
      ["live", it.live]
    ] as const) {
      test(`${name}, ${kind}`, () =>
        Effect.gen(function* () {
          const secret = fresh()
          const before = leaks().length
          yield* leak(secret)
          expect(leaks().length).toBeGreaterThan(before)
        }))
    }
  }

  it.live("the password of a URL, and a line of a key", () =>
    Effect.gen(function* () {
      Redacted.make("http://walter:pass%40word-of-the-proxy@proxy.test:3128")
      Redacted.make("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----")
      expect([leaked("pass@word-of-the-proxy"), leaked("MIGHAgEAMBMGByqGSM49")]).toEqual([
        false,
        false
      ])
      yield* Effect.log("walter, pass@word-of-the-proxy")
      yield* Effect.log({ key: ["MIGHAgEAMBMGByqGSM49"] })
      expect([leaked("pass@word-of-the-proxy"), leaked("MIGHAgEAMBMGByqGSM49")]).toEqual([
        true,
        true
      ])
    })
  )

  it.live("a signed query, unless it is redacted", () =>
    Effect.gen(function* () {
      yield* Effect.log("GET https://storage.test/b?X-Amz-Signature=REDACTED&digest=sha256:a")
      expect(leaked("?X-Amz")).toBe(false)
      yield* Effect.log("GET https://storage.test/b?X-Amz-Signature=abc")
      expect(leaked("?X-Amz")).toBe(true)
    })
  )

  it.live("nothing that is redacted", () =>
    Effect.gen(function* () {
      const secret = fresh()
      yield* Effect.log("asking with", Redacted.make(secret), { secret: Redacted.make(secret) })
      expect(leaked(secret)).toBe(false)
    })
  )
})
