/** Whether the certificates of signatures of schema 1 (`x5c`) lead to an authority. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as SignerCertificates from "../../src/node/SignerCertificates.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as SignedManifest from "../../src/spec/SignedManifest.js"
import { authority, type Certificate, client } from "../support/certificates.js"

const unsigned = SignedManifest.make({
  schemaVersion: 1,
  name: "owner/app",
  tag: "v1",
  architecture: "amd64",
  fsLayers: [],
  history: []
})

/** A root, an authority below it, and a signer that this one has certified; and another root. */
const world = Effect.runSync(
  Effect.cached(
    Effect.gen(function* () {
      const root = yield* authority("root")
      const between = yield* authority("between", root)
      const signer = yield* client(between, "signer")
      const amateur = yield* client(signer, "amateur")
      return { root, between, signer, amateur, stranger: yield* authority("root") }
    })
  )
)

const pem = (...certificates: ReadonlyArray<Certificate>) =>
  certificates.map(({ cert }) => cert).join("\n")

/** What reads a manifest that the first of these signed, with the certificates of all. */
const signerOf = (first: Certificate, ...others: ReadonlyArray<Certificate>) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(Date.now() + 60_000)
    const { manifest } = yield* SignedManifest.sign(unsigned, {
      privateKey: Redacted.make(first.key),
      certificates: pem(first, ...others)
    })
    const read = yield* Manifest.fromBytes(manifest.bytes, manifest.descriptor)
    const [signer] = yield* Effect.flatMap(SignedManifest.fromManifest(read), SignedManifest.verify)
    return signer ?? (yield* Effect.dieMessage("one signer"))
  })

const names = (chain: ReadonlyArray<{ readonly subject: string }>) =>
  chain.map(({ subject }) => subject.replace("CN=", ""))

describe("the certificates of a signer", () => {
  it.effect("lead to a root, whether that came with them or not", () =>
    Effect.gen(function* () {
      const { between, root, signer, stranger } = yield* world
      const verify = (roots: string, ...chain: Parameters<typeof signerOf>) =>
        Effect.map(
          Effect.flatMap(signerOf(...chain), (signer) =>
            SignerCertificates.verify(signer, { roots })
          ),
          names
        )
      const whole = ["signer", "between", "root"]
      expect(yield* verify(pem(root), signer, between)).toEqual(whole)
      expect(yield* verify(pem(stranger, root), signer, between, root)).toEqual(whole)
      expect(yield* verify(pem(between), signer)).toEqual(["signer", "between"])
      expect(yield* verify(pem(between), signer, between, root)).toEqual(["signer", "between"])
      // Its own certificate can be what is trusted.
      expect(yield* verify(pem(signer), signer)).toEqual(["signer"])
    })
  )

  const refusals = {
    "an authority of the same name with another key": {
      chain: ["signer", "between"],
      roots: "stranger",
      reason: "Untrusted",
      path: "certificates[1]"
    },
    "a step that is missing": {
      chain: ["signer", "root"],
      roots: "root",
      reason: "Issuer",
      path: "certificates[0]"
    },
    "a step that is not an authority": {
      chain: ["amateur", "signer", "between"],
      roots: "root",
      reason: "Issuer",
      path: "certificates[0]"
    },
    "another order": {
      chain: ["signer", "root", "between"],
      roots: "root",
      reason: "Issuer",
      path: "certificates[0]"
    },
    "an authority above the last one that is not known": {
      chain: ["signer"],
      roots: "root",
      reason: "Untrusted",
      path: "certificates[0]"
    }
  } as const
  it.effect.each(Object.entries(refusals))(
    "are refused with %s",
    ([, { chain, roots, ...error }]) =>
      Effect.gen(function* () {
        const all = yield* world
        const [first, ...others] = chain
        const signer = yield* signerOf(all[first], ...others.map((name) => all[name]))
        const verified = SignerCertificates.verify(signer, { roots: pem(all[roots]) })
        expect(yield* Effect.flip(verified)).toMatchObject({
          _tag: "InvalidCertificates",
          ...error
        })
      })
  )

  it.effect("are refused outside the time that they are valid in", () =>
    Effect.gen(function* () {
      const { between, root, signer } = yield* world
      const found = yield* signerOf(signer, between)
      const verified = SignerCertificates.verify(found, { roots: pem(root) })
      for (const time of ["2020-01-01", "2200-01-01"]) {
        yield* TestClock.setTime(Date.parse(time))
        expect(yield* Effect.flip(verified)).toMatchObject({
          reason: "Expired",
          path: "certificates[0]"
        })
      }
    })
  )

  it.effect("are refused where they cannot be read, or are of another key", () =>
    Effect.gen(function* () {
      const { between, root, signer } = yield* world
      const found = yield* signerOf(signer, between)
      const refused = (change: Partial<SignedManifest.Signer>, roots = pem(root)) =>
        Effect.map(
          Effect.flip(SignerCertificates.verify({ ...found, ...change }, { roots })),
          ({ path, reason }) => `${reason} ${path}`
        )
      const [own = "", next = ""] = found.certificates
      expect(yield* refused({ certificates: [] })).toBe("Missing undefined")
      expect(yield* refused({ certificates: [own, "AAAA"] })).toBe("Malformed certificates[1]")
      expect(yield* refused({ certificates: Array.from({ length: 11 }, () => own) })).toBe(
        "Malformed undefined"
      )
      // Two readers of one text may take two certificates out of it.
      expect(yield* refused({ certificates: [next] })).toBe("Key certificates[0]")
      expect(yield* refused({}, "")).toBe("Malformed undefined")
      const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
      expect(yield* refused({}, broken)).toBe("Malformed roots[0]")
    })
  )
})
