/** The faults of a registry server, in one process and on sockets. */
import * as Net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { Registry } from "../../src/Registry.js"
import * as Faults from "../../src/server/Faults.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { gather, generated, utf8 } from "../support/fixtures.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const repository = Effect.runSync(Reference.parseRepositoryName("team/app"))
const v1 = Effect.runSync(Reference.parseTag("v1"))
const b1 = Effect.runSync(gather(generated(200_000)))
const b1Digest = Digest.fromBytes(b1)
const m1 = Effect.runSync(
  Effect.orDie(
    Manifest.fromBytes(utf8('{"mediaType":"application/vnd.example.m1"}'), {
      mediaType: "application/vnd.example.m1"
    })
  )
)

const stored = Layer.effect(
  Registry,
  Effect.gen(function* () {
    const registry = yield* MemoryRegistry.make()
    yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
    yield* registry.putManifest(repository, m1, { tags: [v1] })
    return registry
  }).pipe(Effect.orDie)
)

const options: Partial<RegistryClient.EndpointOptions> = {
  retry: { attempts: 0 },
  timeouts: { response: "200 millis" }
}

const client = (url: string) =>
  RegistryClient.layer({ url, ...options }).pipe(
    Layer.provide([
      TokenCache.layerMemory,
      Credentials.layerBasic({
        host: new URL(url).host,
        username: "alice",
        password: Redacted.make("wonderland")
      })
    ])
  )

const inProcess = (server: RegistryServer.Options) =>
  client("http://registry.test").pipe(
    Layer.provide(RegistryServer.layerTest(server)),
    Layer.provideMerge(stored)
  )

const onSockets = (server: RegistryServer.Options) =>
  Layer.unwrapEffect(Effect.map(ServerUrl, client)).pipe(
    Layer.provide(NodeHttp.layer()),
    Layer.provideMerge(layerSocketServer(server)),
    Layer.provideMerge(stored)
  )

const users = { alice: Redacted.make("wonderland") }

const manifest = Effect.flatMap(Registry, (registry) => registry.getManifest(repository, v1))
const head = Effect.flatMap(Registry, (registry) => registry.headManifest(repository, v1))
const put = Effect.flatMap(Registry, (registry) =>
  registry.putManifest(repository, m1, { tags: [v1] })
)
const download = Effect.flatMap(Registry, (registry) =>
  gather(registry.getBlob(repository, b1Digest))
)
const upload = Effect.flatMap(Registry, (registry) =>
  registry.putBlob(
    repository,
    BlobSource.fromStream(BlobSource.fromBytes(utf8("b2").subarray(0, 2)).open(0)),
    { strategy: "put" }
  )
)

interface Row {
  readonly does: string
  readonly fault: Faults.Fault
  readonly run: Effect.Effect<unknown, { readonly _tag: string }, Registry>
  /** What the client fails with, or nothing where it does not. */
  readonly fails?: { readonly _tag: string; readonly [fact: string]: unknown }
  readonly tokens?: true
}

const reset = { _tag: "TransportFailure", reason: "Reset" }

const rows: ReadonlyArray<Row> = [
  {
    does: "responds with a status instead",
    fault: Faults.status(503, { on: "GetManifest" }),
    run: manifest,
    fails: { _tag: "RegistryFailure", status: 503, errors: [{ code: "UNAVAILABLE" }] }
  },
  {
    does: "responds with a status to whoever wants a token",
    fault: Faults.status(500, { on: "Token" }),
    run: manifest,
    fails: { _tag: "RegistryFailure", status: 500 },
    tokens: true
  },
  {
    does: "responds with a body of its own",
    fault: Faults.status(200, { on: "GetManifest", body: "<html>Sign in</html>" }),
    run: manifest,
    fails: { _tag: "InvalidManifest" }
  },
  {
    does: "waits",
    fault: Faults.delay("10 millis", { on: "GetManifest" }),
    run: manifest
  },
  {
    does: "waits in the middle of a response",
    fault: Faults.delay("10 millis", { on: "GetBlob", at: { response: 100 } }),
    run: download
  },
  {
    does: "waits for longer than a client does",
    fault: Faults.delay("1 minute", { on: "GetManifest" }),
    run: manifest,
    fails: { _tag: "TransportFailure", reason: "Timeout" }
  },
  {
    does: "stalls before the response",
    fault: Faults.stall({ on: "GetManifest" }),
    run: manifest,
    fails: { _tag: "TransportFailure", reason: "Timeout" }
  },
  {
    does: "stalls after the head of a response",
    fault: Faults.stall({ on: "GetBlob", at: { response: 0 } }),
    run: download,
    fails: { _tag: "TransportFailure", reason: "Stall" }
  },
  {
    does: "stalls in the middle of a response",
    fault: Faults.stall({ on: "GetBlob", at: { response: 100_000 } }),
    run: download,
    fails: { _tag: "TransportFailure", reason: "Stall" }
  },
  ...(["FIN", "RST"] as const).flatMap(
    (how): ReadonlyArray<Row> => [
      {
        does: `cuts with ${how} before anything`,
        fault: Faults.cut(how, { on: "GetManifest" }),
        run: manifest,
        fails: reset
      },
      {
        does: `cuts with ${how} a HEAD`,
        fault: Faults.cut(how, { on: "HeadManifest" }),
        run: head,
        fails: reset
      },
      {
        does: `cuts with ${how} when all is done`,
        fault: Faults.cut(how, { on: "PutManifest", at: "Handled" }),
        run: put,
        fails: reset
      },
      {
        does: `cuts with ${how} after the head of a response`,
        fault: Faults.cut(how, { on: "GetBlob", at: { response: 0 } }),
        run: download,
        fails: reset
      },
      {
        does: `cuts with ${how} in the middle of a response`,
        fault: Faults.cut(how, { on: "GetBlob", at: { response: 100_000 } }),
        run: download,
        fails: reset
      },
      {
        does: `cuts with ${how} behind the end of a response, which is none`,
        fault: Faults.cut(how, { on: "GetBlob", at: { response: b1.length } }),
        run: download
      },
      {
        does: `cuts with ${how} in the middle of a request`,
        fault: Faults.cut(how, { on: "CompleteUpload", at: { request: 1 } }),
        run: upload,
        fails: reset
      }
    ]
  ),
  {
    does: "corrupts a response",
    fault: Faults.corrupt({ response: 150_000 }, { on: "GetBlob" }),
    run: download,
    fails: { _tag: "DigestMismatch" }
  },
  {
    does: "corrupts a request",
    fault: Faults.corrupt({ request: 1 }, { on: "CompleteUpload" }),
    run: upload,
    fails: { _tag: "DigestMismatch" }
  },
  {
    does: "drops a header",
    fault: Faults.dropHeader("Location", { on: "StartUpload" }),
    run: upload,
    fails: { _tag: "ProtocolViolation" }
  },
  {
    does: "drops the length",
    fault: Faults.dropHeader("Content-Length", { on: "GetBlob" }),
    run: download
  },
  {
    does: "repeats a header",
    fault: Faults.repeatHeader("Location", {
      on: "StartUpload",
      value: "/v2/team/app/blobs/uploads/other"
    }),
    run: upload,
    fails: { _tag: "ProtocolViolation" }
  },
  {
    does: "redirects to another origin",
    fault: Faults.redirect("http://169.254.169.254", { on: "GetBlob" }),
    run: download,
    fails: { _tag: "UntrustedLocation", kind: "Redirect", host: "169.254.169.254" }
  }
]

describe("each fault is the same typed error in one process and on sockets (V37)", () => {
  it.live.each(rows.map((row) => [row.does, row] as const))("%s", ([, row]) =>
    Effect.gen(function* () {
      for (const world of [inProcess, onSockets]) {
        const faults = yield* Faults.make([row.fault])
        const authorization = row.tokens && (yield* ServerAuthorization.token({ users }))
        const result = yield* Effect.either(row.run).pipe(
          Effect.provide(world({ faults, authorization }))
        )
        if (row.fails === undefined) expect(result).toMatchObject({ _tag: "Right" })
        else expect(Either.flip(result)).toMatchObject({ _tag: "Right", right: row.fails })
        expect(yield* faults.drawn).toMatchObject([{ fault: row.fault }])
      }
    }).pipe(Effect.orDie)
  )
})

// -----------------------------------------------------------------------------
// On the wire
// -----------------------------------------------------------------------------

interface Wire {
  /** All that came, less what differs from one time to the next. */
  readonly text: string
  /** `end` after FIN, or the code of the error. */
  readonly ended: string
}

/** Sends bytes, and reads until the connection ends. */
const exchange = (...lines: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const port = Number(new URL(yield* ServerUrl).port)
    return yield* Effect.async<Wire>((resume) => {
      let text = ""
      let ended = "destroyed"
      const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () =>
        socket.write(lines.join("\r\n"))
      )
      socket.setEncoding("latin1")
      socket.on("data", (part) => {
        text += part
      })
      // A reset that comes with the last bytes is an end to libuv: only what is sent then tells.
      socket.on("end", () => {
        ended = "end"
        socket.write("x", () => socket.end())
      })
      socket.on("error", (error) => {
        ended = "code" in error ? String(error.code) : "?"
      })
      socket.on("close", () =>
        resume(
          Effect.succeed({
            text: text
              .replace(/^Date: .*$/im, "Date: now")
              .replace(/(?<=uploads\/)[0-9a-f-]{36}/g, "<session>"),
            ended
          })
        )
      )
    })
  })

const served = (server: RegistryServer.Options) =>
  Layer.provideMerge(layerSocketServer(server), stored)

const ask = (line: string, ...headers: ReadonlyArray<string>) =>
  exchange(`${line} HTTP/1.1`, "Host: a", "Connection: close", ...headers, "", "")

const getBlob = ask(`GET /v2/team/app/blobs/${b1Digest}`)

/** A request that announces a body larger than what is ever read of it. */
const largePost = exchange(
  "POST /v2/team/app/blobs/uploads/ HTTP/1.1",
  "Host: a",
  "Content-Length: 1000000",
  "",
  "x".repeat(500_000)
)

const isReset = expect.stringMatching(/^(ECONNRESET|EPIPE)$/)

const withFaults = (...faults: ReadonlyArray<Faults.Fault>) => Effect.provide(served({ faults }))

describe("on the wire", () => {
  it.live("a fault that is not drawn changes no byte (V36)", () =>
    Effect.gen(function* () {
      const lines = [
        ask("GET /v2/"),
        ask("GET /v2/team/app/manifests/v1"),
        ask("HEAD /v2/team/app/manifests/v1"),
        ask("GET /v2/team/app/manifests/missing"),
        getBlob,
        ask("POST /v2/team/app/blobs/uploads/", "Content-Length: 0")
      ]
      const plain = yield* Effect.all(lines).pipe(Effect.provide(served({})))
      for (const faults of [
        [],
        [Faults.cut("RST", { probability: 0 }), Faults.status(500, { times: 0 })],
        [Faults.corrupt({ response: 0 }, { on: "DeleteBlob" }), Faults.stall({ skip: 100 })]
      ])
        expect(yield* Effect.all(lines).pipe(withFaults(...faults))).toEqual(plain)
    })
  )

  it.live("FIN ends a connection in order, with all that was sent before (V36)", () =>
    Effect.gen(function* () {
      const { ended, text } = yield* getBlob
      expect(ended).toBe("end")
      const [head, body] = text.split("\r\n\r\n")
      expect(head?.toLowerCase()).toContain("content-length: 200000")
      expect(Buffer.from(body ?? "", "latin1").equals(b1.subarray(0, 70_000))).toBe(true)
    }).pipe(withFaults(Faults.cut("FIN", { at: { response: 70_000 } })))
  )

  it.live("FIN is FIN before the response, and for a client that is still sending (V36)", () =>
    Effect.gen(function* () {
      expect(yield* ask("GET /v2/")).toEqual({ text: "", ended: "end" })
      expect(yield* largePost).toEqual({ text: "", ended: "end" })
    }).pipe(withFaults(Faults.cut("FIN")))
  )

  it.live("RST is RST, before the response and in its middle (V36)", () =>
    Effect.gen(function* () {
      expect(yield* ask("GET /v2/")).toMatchObject({ text: "", ended: isReset })
      expect(yield* largePost).toMatchObject({ text: "", ended: isReset })
      expect(yield* getBlob).toMatchObject({ ended: isReset })
    }).pipe(
      withFaults(
        Faults.cut("RST", { on: "GetBlob", at: { response: 10 } }),
        Faults.cut("RST", { on: ["Ping", "StartUpload"] })
      )
    )
  )

  it.live("a repeated header has two lines, and a dropped one none", () =>
    Effect.gen(function* () {
      const { text } = yield* ask("GET /v2/team/app/manifests/v1")
      expect(text.match(/^docker-content-digest: .*$/gim)).toEqual([
        `docker-content-digest: ${m1.descriptor.digest}`,
        "docker-content-digest: other"
      ])
      const head = yield* ask("HEAD /v2/team/app/manifests/v1")
      expect(head.text).not.toMatch(/docker-content-digest/i)
      expect(head.text).toMatch(/content-type: application\/vnd\.example\.m1/i)
    }).pipe(
      withFaults(
        Faults.repeatHeader("Docker-Content-Digest", { on: "GetManifest", value: "other" }),
        Faults.dropHeader("Docker-Content-Digest", { on: "HeadManifest" })
      )
    )
  )

  it.live("a redirect keeps path and query, a status its headers and its body", () =>
    Effect.gen(function* () {
      expect((yield* ask("GET /v2/team/app/tags/list?n=1")).text).toMatch(
        /^HTTP\/1\.1 302 Found\r\nlocation: https:\/\/other\.example\/v2\/team\/app\/tags\/list\?n=1\r/
      )
      expect((yield* ask("GET /v2/")).text).toMatch(
        /^HTTP\/1\.1 429 .*\r\nretry-after: 7\r\ncontent-length: 4\r\n[\s\S]*\r\n\r\nslow$/
      )
    }).pipe(
      withFaults(
        Faults.redirect("https://other.example", { on: "ListTags", status: 302 }),
        Faults.status(429, { headers: { "retry-after": "7" }, body: "slow" })
      )
    )
  )
})

describe("which requests", () => {
  const drawn = (faults: Faults.Faults, targets: ReadonlyArray<Faults.Target>) =>
    Effect.map(Effect.forEach(targets, faults.draw), (all) =>
      all.map((fault) => Option.match(fault, { onNone: () => "-", onSome: ({ _tag }) => _tag }))
    )

  it.effect("skip some, happen so often, the first that matches", () =>
    Effect.gen(function* () {
      const faults = yield* Faults.make([
        Faults.stall({ on: "GetBlob", skip: 1, times: 2 }),
        Faults.status(500, { on: ["GetBlob", "Token"], times: 2 })
      ])
      expect(
        yield* drawn(faults, ["GetBlob", "GetBlob", "Ping", "Token", "GetBlob", "GetBlob"])
      ).toEqual(["Status", "Stall", "-", "Status", "Stall", "-"])
      expect(yield* faults.drawn).toHaveLength(4)
      yield* faults.set([Faults.stall({ times: 1 })])
      expect(yield* drawn(faults, ["Ping", "Ping"])).toEqual(["Stall", "-"])
    })
  )

  it.effect("a seed decides, and it is always the same one", () =>
    Effect.gen(function* () {
      const targets = Array.from({ length: 200 }, () => "Ping" as const)
      const rule = [Faults.stall({ probability: 0.25 })]
      const [one, again, other, usual] = yield* Effect.all(
        [{ seed: 1 }, { seed: 1 }, { seed: 2 }, undefined].map((seed) =>
          Effect.flatMap(Faults.make(rule, seed), (faults) => drawn(faults, targets))
        )
      )
      expect(again).toEqual(one)
      expect(other).not.toEqual(one)
      const count = usual?.filter((tag) => tag === "Stall").length
      expect(count).toBeGreaterThan(30)
      expect(count).toBeLessThan(70)
    })
  )
})
