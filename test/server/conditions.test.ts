/** Conditions of requests for manifests, as clients of any make send them (RFC 9110 section 13). */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Registry as Service } from "../../src/Registry.js"
import { make, Registry } from "../../src/Registry.js"
import { PreconditionFailed } from "../../src/RegistryError.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { webHandler } from "../support/server.js"
import { type Send, sender, sha256, sha512 } from "./wire.js"

const type = "application/vnd.oci.image.index.v1+json"
const index = (name: string) =>
  `{"schemaVersion":2,"mediaType":"${type}","manifests":[],"annotations":{"name":"${name}"}}`
const [m1, m2] = [index("m1"), index("m2")]
const tag = (content: string) => `"${sha256(content)}"`
const other = `"sha256:${"0".repeat(64)}"`
const path = "/v2/a/manifests/v1"

const served = <A>(
  test: (send: Send) => Effect.Effect<A>,
  change: (registry: Service.Service) => Partial<Service.Service> = () => ({})
) =>
  Effect.gen(function* () {
    const memory = yield* MemoryRegistry.make()
    const registry = make({ ...memory, ...change(memory) })
    const handler = yield* Effect.provideService(webHandler(), Registry, registry)
    return yield* test(sender(handler))
  })

const put = (send: Send, content: string, headers: Record<string, string> = {}, at = path) =>
  send("PUT", at, { body: content, headers: { "content-type": type, ...headers } })

const errorOf = ({ body }: { readonly body: string }): unknown => JSON.parse(body).errors[0]

describe("a PUT", () => {
  it.scoped.each([
    ["absent", { "if-none-match": "*" }, 201],
    ["absent", { "if-none-match": tag(m1) }, 201],
    ["absent", { "if-match": "*" }, 412],
    ["absent", { "if-match": tag(m1) }, 412],
    ["m1", { "if-none-match": "*" }, 412],
    ["m1", { "if-match": "*" }, 201],
    ["m1", { "if-match": tag(m1) }, 201],
    ["m1", { "if-match": sha256(m1) }, 201],
    ["m1", { "if-match": other }, 412],
    ["m1", { "if-match": `${other}, ${tag(m1)}` }, 201],
    ["m1", { "if-match": `W/${tag(m1)}` }, 412],
    ["m1", { "if-match": "nonsense" }, 412],
    ["m1", { "if-match": "" }, 412],
    ["m1", { "if-none-match": tag(m1) }, 412],
    ["m1", { "if-none-match": `W/${tag(m1)}` }, 412],
    ["m1", { "if-none-match": `"x", ${other}` }, 201],
    ["m1", { "if-match": tag(m1), "if-none-match": "*" }, 412],
    ["m1", { "if-match": tag(m1), "if-none-match": other }, 201]
  ] as ReadonlyArray<readonly [string, Record<string, string>, number]>)(
    "of a tag that is %s, with %o, is answered with %s",
    ([is, headers, status]) =>
      served((send) =>
        Effect.gen(function* () {
          if (is === "m1") yield* put(send, m1)
          const response = yield* put(send, m2, headers)
          expect(response.status).toBe(status)
          const after = yield* send("GET", path)
          expect(after.body === m2).toBe(status === 201)
          if (status === 412) {
            expect(errorOf(response)).toMatchObject({ code: "PRECONDITION_FAILED" })
            expect((yield* send("GET", `/v2/a/manifests/${sha256(m2)}`)).status).toBe(404)
          }
        })
      )
  )

  it.scoped("that is no manifest is that, whatever its condition (section 13.2.1)", () =>
    served((send) =>
      Effect.gen(function* () {
        const response = yield* put(send, "no manifest", { "if-match": other })
        expect([response.status, errorOf(response)]).toMatchObject([
          400,
          { code: "MANIFEST_INVALID" }
        ])
      })
    )
  )

  it.scoped("by digest has the tag of its query for its condition, or itself", () =>
    served((send) =>
      Effect.gen(function* () {
        const at = `/v2/a/manifests/${sha512(m1)}`
        expect((yield* put(send, m1, { "if-match": "*" }, at)).status).toBe(412)
        expect((yield* put(send, m1, { "if-none-match": "*" }, `${at}?tag=v1`)).status).toBe(201)
        expect((yield* put(send, m1, { "if-none-match": "*" }, `${at}?tag=v1`)).status).toBe(412)
        expect((yield* put(send, m1, { "if-none-match": "*" }, at)).status).toBe(412)
        const two = yield* put(send, m1, { "if-none-match": "*" }, `${at}?tag=v2&tag=v3`)
        expect([two.status, errorOf(two)]).toEqual([
          400,
          {
            code: "UNSUPPORTED",
            message: "A condition can be on one tag: put the others without it"
          }
        ])
        expect((yield* send("HEAD", "/v2/a/manifests/v2")).status).toBe(404)
      })
    )
  )

  it.scoped("is refused where the registry behind sees another writer come between", () =>
    served(
      (send) =>
        Effect.gen(function* () {
          yield* put(send, m1)
          const response = yield* put(send, m2, { "if-match": tag(m1) })
          expect(response.status).toBe(412)
          expect(errorOf(response)).toEqual({
            code: "PRECONDITION_FAILED",
            message: `Tag v1 is not ${sha256(m1)}: nothing was put`,
            detail: { tag: "v1", expected: sha256(m1), actual: sha256("third") }
          })
        }),
      ({ putManifest }) => ({
        putManifest: (repository, manifest, options) =>
          options?.onlyIf === undefined
            ? putManifest(repository, manifest, options)
            : Effect.fail(
                new PreconditionFailed({
                  url: "https://secret.example/v2/",
                  repository,
                  tag: options.onlyIf.tag,
                  expected: options.onlyIf.is,
                  actual: sha256("third"),
                  reason: "Changed"
                })
              )
      })
    )
  )
})

describe("a GET or HEAD", () => {
  it.scoped.each([
    [{ "if-none-match": tag(m1) }, 304],
    [{ "if-none-match": `W/${tag(m1)}` }, 304],
    [{ "if-none-match": `${other},${tag(m1)}` }, 304],
    [{ "if-none-match": sha256(m1) }, 304],
    [{ "if-none-match": "*" }, 304],
    [{ "if-none-match": other }, 200],
    [{ "if-match": tag(m1) }, 200],
    [{ "if-match": other }, 412],
    [{ "if-match": other, "if-none-match": tag(m1) }, 412]
  ] as ReadonlyArray<readonly [Record<string, string>, number]>)(
    "of a manifest with %o is answered with %s",
    ([headers, status]) =>
      served((send) =>
        Effect.gen(function* () {
          yield* put(send, m1)
          for (const method of ["GET", "HEAD"])
            for (const reference of ["v1", sha256(m1)]) {
              const response = yield* send(method, `/v2/a/manifests/${reference}`, { headers })
              expect(response.status).toBe(status)
              if (status === 304)
                expect(response).toMatchObject({
                  body: "",
                  headers: { etag: tag(m1), "docker-content-digest": sha256(m1) }
                })
            }
          // What is not there has no condition.
          expect((yield* send("GET", "/v2/a/manifests/v2", { headers })).status).toBe(404)
        })
      )
  )
})

describe("a DELETE", () => {
  it.scoped("is done only if its condition holds", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* put(send, m1)
        for (const reference of ["v1", sha256(m1)]) {
          const at = `/v2/a/manifests/${reference}`
          expect((yield* send("DELETE", at, { headers: { "if-match": other } })).status).toBe(412)
          const gone = yield* send("DELETE", at, { headers: { "if-match": tag(m1) } })
          expect(gone.status).toBe(202)
        }
        expect((yield* send("HEAD", `/v2/a/manifests/${sha256(m1)}`)).status).toBe(404)
      })
    )
  )
})
