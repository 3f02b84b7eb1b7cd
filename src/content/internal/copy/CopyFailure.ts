/** What a copy can fail with. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as RegistryError from "../../../RegistryError.js"
import { inWords, type Summary, SummarySchema } from "./Progress.js"

/**
 * Occurs when a target refuses an index without all of its manifests: some of them were left out,
 * for their platforms or since the source does not have them.
 */
export class SparseIndexRefused extends Schema.TaggedError<SparseIndexRefused>(
  "effect-oci/SparseIndexRefused"
)("SparseIndexRefused", {
  missing: Schema.Array(Schema.String),
  cause: Schema.Union(
    RegistryError.BlobUnknown,
    RegistryError.NameUnknown,
    RegistryError.RegistryFailure
  )
}) {
  override get message(): string {
    return (
      `The target does not take the index without ${this.missing.join(", ")}: copy them as well, ` +
      'or have the index rewritten without them with the option index: "rewrite", which gives it ' +
      `another digest. ${this.cause.message}`
    )
  }
}

/** What goes wrong at one of the two registries of a copy. */
const NodeError = Schema.Union(
  RegistryError.Unauthorized,
  RegistryError.Denied,
  RegistryError.CredentialsFailure,
  RegistryError.TooManyRequests,
  RegistryError.Unsupported,
  RegistryError.RegistryFailure,
  RegistryError.ProtocolViolation,
  RegistryError.UntrustedLocation,
  RegistryError.LimitExceeded,
  RegistryError.TransportFailure,
  RegistryError.StorageFailure,
  RegistryError.NameUnknown,
  RegistryError.ManifestUnknown,
  RegistryError.BlobUnknown,
  RegistryError.UploadUnknown,
  RegistryError.PreconditionFailed,
  RegistryError.DigestMismatch,
  RegistryError.SizeMismatch,
  RegistryError.MediaTypeMismatch,
  RegistryError.RangeMismatch,
  RegistryError.InvalidDigest,
  RegistryError.InvalidManifest,
  RegistryError.BodyNotReplayable,
  SparseIndexRefused
)

/** The type of `NodeError`. */
export type NodeError = typeof NodeError.Type

/**
 * Occurs when a copy fails: at the `source` or at the `target`, with `error`, at the content or tag
 * that `reference` names, as in `ghcr.io/owner/name@sha256:…`. `hint` says what helps, where that
 * is an option of the copy, and `done` how far the copy was. What was copied stays where it is, so
 * that the same copy does what is left.
 */
export class CopyFailure extends Schema.TaggedError<CopyFailure>("effect-oci/CopyFailure")(
  "CopyFailure",
  {
    side: Schema.Literal("source", "target"),
    reference: Schema.String,
    error: NodeError,
    hint: Schema.optional(Schema.String),
    done: SummarySchema
  }
) {
  override get message(): string {
    const hint = this.hint === undefined ? "" : ` ${this.hint}.`
    return (
      `The ${this.side} of the copy failed at ${this.reference}: ${this.error.message}.${hint} ` +
      `Done before: ${inWords(this.done)}`
    )
  }
}

/** Turns what an operation fails with into the failure of a copy. */
export type Failing = (
  side: CopyFailure["side"],
  reference: string,
  hint?: string
) => <A, E extends NodeError, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, CopyFailure, R>

/** Makes `Failing` of what tells how far the copy is. */
export const failing =
  (names: Record<CopyFailure["side"], string>, summary: () => Summary): Failing =>
  (side, reference, hint) =>
    Effect.mapError(
      (error) =>
        new CopyFailure({
          side,
          reference: `${names[side]}${reference}`,
          error,
          hint,
          done: summary()
        })
    )
