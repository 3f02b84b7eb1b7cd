/** Certificates that exist for one test run: an authority, and what it signs. */
import * as Effect from "effect/Effect"
import { generate } from "selfsigned"

export interface Certificate {
  readonly cert: string
  readonly key: string
}

const keyType = { keyType: "ec", algorithm: "sha256" } as const

const make = (
  name: string,
  extensions: Parameters<typeof generate>[1]
): Effect.Effect<Certificate> =>
  Effect.map(
    Effect.promise(() =>
      generate([{ name: "commonName", value: name }], { ...keyType, ...extensions })
    ),
    (pems) => ({ cert: pems.cert, key: pems.private })
  )

/** An authority, that of `ca` if it is given. */
export const authority = (name: string, ca?: Certificate): Effect.Effect<Certificate> =>
  make(name, {
    ...(ca !== undefined && { ca }),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, critical: true }
    ]
  })

/** Of a server, valid for these names and 127.0.0.1. */
export const server = (
  ca: Certificate,
  ...names: ReadonlyArray<string>
): Effect.Effect<Certificate> =>
  make("server", {
    ca,
    extensions: [
      {
        name: "subjectAltName",
        altNames: [
          ...names.map((value) => ({ type: 2 as const, value })),
          { type: 7, ip: "127.0.0.1" }
        ]
      }
    ]
  })

/** Of a client; with a passphrase, its key is encrypted. */
export const client = (
  ca: Certificate,
  name: string,
  passphrase?: string
): Effect.Effect<Certificate> =>
  make(name, {
    ca,
    extensions: [{ name: "extKeyUsage", clientAuth: true }],
    ...(passphrase !== undefined && { passphrase })
  })
