/** Quirks of tags: of what they are read as, and of whether they change. */
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Operation from "../../../protocol/Operation.js"
import * as Digest from "../../../spec/Digest.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"
import type * as Handler from "../Handler.js"
import { asking, modified, operationOf, type Table, toResponse } from "./Quirk.js"

/** The quirks of tags. */
export const table: Table<"tagLag" | "immutableTags"> = {
  tagLag: (lag) => (next) => {
    const pasts = new Map<string, ReadonlyArray<Past>>()
    return (received) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const read = operationOf(received, "GetManifest", "HeadManifest")
        if (read !== undefined && !Digest.isDigest(read.reference)) {
          const was = pasts.get(keyOf(read.repository, read.reference)) ?? []
          const past = was.find(({ until }) => until > now)
          if (past === undefined) return yield* next(received)
          return past.digest === undefined
            ? toResponse({ status: 404, code: "MANIFEST_UNKNOWN" })
            : yield* next(asking(received, { ...read, reference: past.digest }))
        }
        const before = yield* tagsBefore(received, next)
        const response = yield* next(received)
        if (response.status === 201)
          for (const { digest, key } of before) {
            const recent = (pasts.get(key) ?? []).filter(({ until }) => until > now)
            pasts.set(key, [...recent, { until: now + lag, digest }])
          }
        return response
      })
  },
  immutableTags: (reply) => (next) => (received) =>
    Effect.flatMap(tagsBefore(received, next), (before) =>
      before.some(({ digest }) => digest !== undefined)
        ? Effect.succeed(toResponse(reply))
        : next(received)
    )
}

/** What a tag is read as for a while: a digest, or nothing. */
interface Past {
  readonly until: number
  readonly digest: Digest.Digest | undefined
}

const keyOf = (repository: RepositoryName, tag: Tag): string => `${repository}:${tag}`

/** Returns what the tags are that a request puts. */
const tagsBefore = <R extends Handler.Received>(received: R, next: Handler.Handler<R>) =>
  Effect.gen(function* () {
    const put = operationOf(received, "PutManifest")
    if (put === undefined) return []
    const { reference, repository, tags = [] } = put
    const unconditional = yield* modified(received, {
      headers: { "if-match": undefined, "if-none-match": undefined }
    })
    return yield* Effect.forEach(Digest.isDigest(reference) ? tags : [reference, ...tags], (tag) =>
      Effect.map(
        next(asking(unconditional, Operation.HeadManifest({ repository, reference: tag }))),
        (response) => ({ key: keyOf(repository, tag), digest: digestOf(response) })
      )
    )
  })

const digestOf = ({ headers, status }: HttpServerResponse): Digest.Digest | undefined => {
  const digest = headers["docker-content-digest"]
  return status === 200 && Digest.isDigest(digest) ? digest : undefined
}
