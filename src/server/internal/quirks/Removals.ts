/** Quirks of mounts, deletes and referrers. */
import * as Effect from "effect/Effect"
import * as Operation from "../../../protocol/Operation.js"
import * as Digest from "../../../spec/Digest.js"
import * as Reference from "../../../spec/Reference.js"
import type { Reply } from "../../Quirks.js"
import {
  always,
  answers,
  asking,
  becomes,
  documentOf,
  operationOf,
  type Quirk,
  sets,
  type Table,
  toResponse
} from "./Quirk.js"

/** The quirks of mounts, deletes and referrers. */
export const table: Table<
  | "mount"
  | "mountFromAnywhere"
  | "tagDelete"
  | "manifestDelete"
  | "taggedDelete"
  | "blobDelete"
  | "referrers"
  | "subjectHeader"
  | "referrersFilter"
> = {
  mount: (reply) => mounts(reply, () => true),
  mountFromAnywhere: (reply) => mounts(reply, ({ from }) => from === undefined),
  tagDelete: (reply) =>
    answers(["DeleteManifest"], ({ reference }) =>
      Digest.isDigest(reference) ? undefined : reply
    ),
  manifestDelete: (reply) =>
    answers(["DeleteManifest"], ({ reference }) =>
      Digest.isDigest(reference) ? reply : undefined
    ),
  taggedDelete: (reply) => refusesTagged(reply),
  blobDelete: (reply) => always(["DeleteBlob"], reply),
  referrers: (reply) => always(["ListReferrers"], reply),
  subjectHeader: () => sets(["PutManifest"], () => ({ "oci-subject": undefined })),
  referrersFilter: () =>
    becomes(["ListReferrers"], (operation) => ({ ...operation, artifactType: undefined }))
}

const mounts = (
  reply: Reply | "session",
  concerns: (operation: Operation.Case<"MountBlob">) => boolean
): Quirk =>
  reply === "session"
    ? becomes(["MountBlob"], (operation) =>
        concerns(operation)
          ? Operation.StartUpload({ repository: operation.repository })
          : operation
      )
    : answers(["MountBlob"], (operation) => (concerns(operation) ? reply : undefined))

const refusesTagged =
  (reply: Reply): Quirk =>
  (next) =>
  (received) =>
    Effect.gen(function* () {
      const operation = operationOf(received, "DeleteManifest")
      if (operation === undefined || !Digest.isDigest(operation.reference))
        return yield* next(received)
      const { reference: digest, repository } = operation
      const { tags } = yield* documentOf(
        yield* next(asking(received, Operation.ListTags({ repository })))
      )
      for (const tag of Array.isArray(tags) ? tags : []) {
        const reference = yield* Effect.orDie(Reference.parseTag(String(tag)))
        const { headers } = yield* next(
          asking(received, Operation.HeadManifest({ repository, reference }))
        )
        if (headers["docker-content-digest"] === digest) return toResponse(reply)
      }
      return yield* next(received)
    })
