import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Chunk from "effect/Chunk"
import * as Option from "effect/Option"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpBody from "@effect/platform/HttpBody"
import { createHash } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as NFs from "node:fs"
import { PerformanceObserver, constants } from "node:perf_hooks"
import * as NodeHttp from "./dist/node/NodeHttp.js"
import * as BlobFile from "./dist/node/BlobFile.js"
import * as ByteStream from "./dist/ByteStream.js"
import { onTurn } from "./dist/client/Turns.js"
const base = process.argv[2]
const mode = process.argv[3]
const hash = createHash("sha256")
let minor = 0, major = 0
new PerformanceObserver((l) => { for (const e of l.getEntries()) if (e.detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) minor++; else major++ }).observe({ entryTypes: ["gc"] })
let mx = 0, mn = 1e12, n = 0
const trace = []
const tap = (s) => ByteStream.tap(s, (b) => { hash.update(b); const m = process.memoryUsage().external; mx = Math.max(mx, m); if (++n > 50) mn = Math.min(mn, m); if (n % 8 === 0 && n > 300 && n < 600) trace.push((m / 1e6).toFixed(0)) })
const size = 1 << 30
const raw = (B) => Stream.unwrapScoped(Effect.map(Effect.acquireRelease(Effect.promise(() => Fs.open("/tmp/effect-oci-bench-upload")), (f) => Effect.promise(() => f.close())), (f) =>
  Stream.unfoldEffect(0, (pos) => Effect.promise(async () => { const { buffer, bytesRead } = await f.read(Buffer.allocUnsafeSlow(B), 0, B, pos); return bytesRead === 0 ? Option.none() : Option.some([buffer.subarray(0, bytesRead), pos + bytesRead]) }))))
const ahead = (B, K) => Stream.unwrapScoped(Effect.map(Effect.acquireRelease(Effect.promise(() => Fs.open("/tmp/effect-oci-bench-upload")), (f) => Effect.promise(() => f.close())), (f) => {
  let pos = 0
  let next
  const start = () => { next = f.read(Buffer.allocUnsafeSlow(B), 0, B, pos) }
  start()
  const step = Effect.promise(async () => { const r = await next; pos += r.bytesRead; if (r.bytesRead === 0) return undefined; start(); return r.buffer.subarray(0, r.bytesRead) })
  return Stream.repeatEffectOption(Effect.flatMap(step, (b) => b === undefined ? Effect.fail(Option.none()) : Effect.succeed(b)))
}))
const opened = (use) => Stream.unwrapScoped(Effect.map(Effect.acquireRelease(Effect.promise(() => Fs.open("/tmp/effect-oci-bench-upload")), (f) => Effect.promise(() => f.close())), use))
const B1 = 1 << 20
const V = {
  mutunfold: opened((f) => { let next; const start = (pos) => { next = f.read(Buffer.allocUnsafeSlow(B1), 0, B1, pos) }; start(0); return Stream.unfoldEffect(0, (pos) => Effect.promise(async () => { const { buffer, bytesRead } = await next; const p = pos + bytesRead; start(p); return bytesRead === 0 ? Option.none() : Option.some([buffer.subarray(0, bytesRead), p]) })) }),
  orig: opened((f) => { const block = (position) => { const r = f.read(Buffer.allocUnsafeSlow(B1), 0, B1, position); r.catch(() => undefined); return r }; return Stream.unfoldEffect({ position: 0, reading: block(0) }, ({ position, reading }) => Effect.promise(async () => { const { buffer, bytesRead } = await reading; const next = position + bytesRead; return bytesRead === 0 ? Option.none() : Option.some([buffer.subarray(0, bytesRead), { position: next, reading: block(next) }]) })) }),
  orignocatch: opened((f) => { const block = (position) => { const r = f.read(Buffer.allocUnsafeSlow(B1), 0, B1, position); return r }; return Stream.unfoldEffect({ position: 0, reading: block(0) }, ({ position, reading }) => Effect.promise(async () => { const { buffer, bytesRead } = await reading; const next = position + bytesRead; return bytesRead === 0 ? Option.none() : Option.some([buffer.subarray(0, bytesRead), { position: next, reading: block(next) }]) })) }),
  mutcatch: opened((f) => { let next; const start = (pos) => { next = f.read(Buffer.allocUnsafeSlow(B1), 0, B1, pos); next.catch(() => undefined) }; start(0); return Stream.unfoldEffect(0, (pos) => Effect.promise(async () => { const { buffer, bytesRead } = await next; const p = pos + bytesRead; start(p); return bytesRead === 0 ? Option.none() : Option.some([buffer.subarray(0, bytesRead), p]) })) }),
  own: opened((f) => { let next; let pos = 0; const start = async () => { const b = Buffer.allocUnsafeSlow(B1); const { bytesRead } = await f.read(b, 0, B1, pos); pos += bytesRead; return b.subarray(0, bytesRead) }; next = start(); const step = Effect.promise(async () => { const b = await next; if (b.length > 0) next = start(); return b }); return Stream.repeatEffectOption(Effect.flatMap(step, (b) => b.length === 0 ? Effect.fail(Option.none()) : Effect.succeed(b))) })
}
const cbahead = (B) => Stream.unwrapScoped(Effect.map(Effect.acquireRelease(Effect.promise(() => Fs.open("/tmp/effect-oci-bench-upload")), (f) => Effect.promise(() => f.close())), (f) => {
  let pos = 0
  let ready, wake
  const start = () => { const b = Buffer.allocUnsafeSlow(B); NFs.read(f.fd, b, 0, B, pos, (err, n) => { ready = b.subarray(0, n); wake?.() }) }
  start()
  const step = Effect.async((resume) => { const done = () => { const b = ready; ready = undefined; wake = undefined; pos += b.length; if (b.length > 0) start(); resume(b.length === 0 ? Effect.fail(Option.none()) : Effect.succeed(b)) }; if (ready) done(); else wake = done })
  return Stream.repeatEffectOption(step)
}))
const program = Effect.gen(function* () {
  const client = yield* HttpClient.HttpClient
  const source = yield* BlobFile.source("/tmp/effect-oci-bench-upload")
  const r0 = yield* client.post(base + "/v2/bench/blobs/uploads/")
  const loc = base + r0.headers.location
  const c0 = process.cpuUsage(), t0 = performance.now()
  let s = source.open(0)
  for (const m of mode.split(",")) {
    if (m === "raw") s = raw(1 << 20)
    if (V[m]) s = V[m]
    if (m === "ahead") s = ahead(1 << 20)
    if (m === "cb") s = cbahead(1 << 20)
    if (m === "hash") s = tap(s)
    if (m === "turn") s = onTurn(s, { asked: () => {}, given: () => {} })
    if (m === "map") s = Stream.mapChunks(s, (x) => x)
    if (m === "unwrap") s = Stream.unwrap(Effect.succeed(s))
    if (m === "concat") s = Stream.concat(s, Stream.empty)
    if (m === "verify") s = ByteStream.verify(s, { size: 1 << 30 })
  }
  const r = yield* client.execute(HttpClientRequest.put(loc + "&digest=sha256:x").pipe(HttpClientRequest.setBody(HttpBody.stream(s, "application/octet-stream", size))))
  const c = process.cpuUsage(c0)
  yield* Effect.sleep(10)
  console.log(mode.padEnd(40), r.status, ((performance.now() - t0) / 1000).toFixed(2), "s cpu", ((c.user + c.system) / 1e6).toFixed(2), "mem", (process.resourceUsage().maxRSS / 1024).toFixed(0), "minor", minor, "major", major, "ext", (mn / 1e6).toFixed(0), (mx / 1e6).toFixed(0)); console.log(trace.join(" "))
})
await Effect.runPromise(Effect.provide(program, NodeHttp.layerHttpClient))
process.exit()
