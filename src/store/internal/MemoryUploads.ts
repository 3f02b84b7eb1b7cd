/**
 * The upload sessions of a registry in memory: bytes appended in order, until they become a blob or
 * are dropped.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as ReadableUpload from "../../internal/ReadableUpload.js"
import type { UploadState } from "../../internal/UploadState.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as Route from "../../protocol/internal/Route.js"
import type { StartUploadOptions, UploadSession } from "../../Registry.js"
import { DigestMismatch, RangeMismatch, Unsupported, UploadUnknown } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import { MemoryBytes } from "./MemoryBytes.js"

/**
 * Stores the verified bytes of a session that was committed, and returns their descriptor. It must
 * not throw.
 */
export type Store = (
  repository: RepositoryName,
  digest: Digest.Digest,
  bytes: MemoryBytes
) => Descriptor

/** What has arrived of an upload. */
interface Upload {
  readonly repository: RepositoryName
  readonly location: string
  readonly parts: Array<Uint8Array>
  /** Has what arrived, so that nothing is left to be hashed at the end. */
  readonly hasher: Digest.Hasher
  size: number
}

/** The upload sessions of one registry. Closing a Scope drops those begun or resumed in it. */
export class MemoryUploads {
  private readonly uploads = new Map<string, Upload>()
  private started = 0

  constructor(private readonly store: Store) {}

  /** The state of every session that is neither committed nor dropped. */
  readonly open: Effect.Effect<ReadonlyArray<UploadState>> = Effect.sync(() =>
    [...this.uploads.values()].map(({ location, repository, size }) => ({
      repository,
      location,
      offset: size
    }))
  )

  /** Opens a session. Fails with `Unsupported` for digests that cannot be verified here. */
  start(
    repository: RepositoryName,
    { algorithm = "sha256" }: StartUploadOptions = {}
  ): Effect.Effect<UploadSession, Unsupported, Scope.Scope> {
    return this.acquire(
      Effect.suspend(() => {
        if (algorithm !== "sha256" && algorithm !== "sha512")
          return Effect.fail(new Unsupported({ operation: `digests of algorithm ${algorithm}` }))
        const location = Route.uploadPath(repository, String(++this.started))
        const upload: Upload = {
          repository,
          location,
          parts: [],
          hasher: Digest.hasher(algorithm),
          size: 0
        }
        this.uploads.set(location, upload)
        return Effect.succeed(upload)
      })
    )
  }

  /** Finds a session again. Fails with `UploadUnknown`. */
  resume({
    location,
    repository
  }: UploadState): Effect.Effect<UploadSession, UploadUnknown, Scope.Scope> {
    return this.acquire(
      Effect.suspend(() => {
        const upload = this.uploads.get(location)
        return upload?.repository === repository
          ? Effect.succeed(upload)
          : Effect.fail(new UploadUnknown({ repository }))
      })
    )
  }

  has(upload: Upload): boolean {
    return this.uploads.get(upload.location) === upload
  }

  drop({ location }: Upload): void {
    this.uploads.delete(location)
  }

  dropAll(): void {
    this.uploads.clear()
  }

  /** Ends a session, and stores what arrived if it has the digest. */
  close(
    upload: Upload,
    digest: Digest.Digest,
    other: Digest.Hasher
  ): Effect.Effect<Descriptor, DigestMismatch> {
    this.drop(upload)
    let actual = upload.hasher.digest()
    if (Digest.algorithm(actual) !== Digest.algorithm(digest)) {
      for (const part of upload.parts) other.update(part)
      actual = other.digest()
    }
    return actual === digest
      ? Effect.succeed(this.store(upload.repository, digest, new MemoryBytes(upload.parts, true)))
      : Effect.fail(new DigestMismatch({ expected: digest, actual }))
  }

  private acquire<E>(
    upload: Effect.Effect<Upload, E>
  ): Effect.Effect<UploadSession, E, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.map(upload, (upload) =>
        ReadableUpload.make(new MemorySession(this, upload), (offset) =>
          Effect.sync(() => partOf(upload, offset))
        )
      ),
      (session) => session.release
    )
  }
}

/** One writer's view of an upload. */
class MemorySession implements UploadSession {
  private offset: number
  private detached = false

  constructor(
    private readonly uploads: MemoryUploads,
    private readonly upload: Upload
  ) {
    this.offset = upload.size
  }

  readonly state: UploadSession["state"] = Effect.sync(() => ({
    repository: this.upload.repository,
    location: this.upload.location,
    offset: this.offset
  }))

  readonly status: UploadSession["status"] = this.whileOpen(() => {
    this.offset = this.upload.size
    return this.state
  })

  readonly detach: UploadSession["detach"] = Effect.zipRight(
    Effect.sync(() => {
      this.detached = true
    }),
    this.state
  )

  readonly release: Effect.Effect<void> = Effect.sync(() => {
    if (!this.detached) this.uploads.drop(this.upload)
  })

  readonly write: UploadSession["write"] = (bytes) =>
    bytes instanceof Uint8Array
      ? Effect.zipRight(this.append(bytes), this.state)
      : this.whileOpen(() => Effect.void).pipe(
          Effect.zipRight(
            Stream.runForEach(bytes, (chunk) => this.append(chunk, BorrowedStream.isGiven(bytes)))
          ),
          Effect.zipRight(this.state)
        )

  readonly commit: UploadSession["commit"] = (digest) =>
    Effect.flatMap(Digest.hasherFor(digest), (hasher) =>
      this.whileOpen(() => this.uploads.close(this.upload, digest, hasher))
    )

  private append(
    bytes: Uint8Array,
    isGiven = false
  ): Effect.Effect<void, UploadUnknown | RangeMismatch> {
    const { upload } = this
    return this.whileOpen(() => {
      if (bytes.length === 0) return Effect.void
      // Another writer may have appended meanwhile (R20).
      if (this.offset !== upload.size) {
        const chunk = { start: this.offset, end: this.offset + bytes.length - 1 }
        const expected = ByteRange.formatChunk(chunk)
        return new RangeMismatch({ expected, actual: ByteRange.formatUpload(upload.size) })
      }
      upload.parts.push(isGiven ? kept(bytes) : new Uint8Array(bytes))
      upload.hasher.update(bytes)
      upload.size += bytes.length
      this.offset = upload.size
      return Effect.void
    })
  }

  /** Runs `f` in the same step in which it was seen that the upload still exists. */
  private whileOpen<A, E>(f: () => Effect.Effect<A, E>): Effect.Effect<A, E | UploadUnknown> {
    return Effect.suspend(
      (): Effect.Effect<A, E | UploadUnknown> =>
        this.uploads.has(this.upload)
          ? f()
          : new UploadUnknown({ repository: this.upload.repository })
    )
  }
}

/** The bytes for good, copied only where they are a part of more memory. */
const kept = (bytes: Uint8Array): Uint8Array => {
  const { buffer, byteLength } = bytes
  return byteLength === buffer.byteLength ? new Uint8Array(buffer, 0) : new Uint8Array(bytes)
}

/** A copy of what was written from an offset on, to the end of the part that it is in. */
const partOf = ({ parts }: Upload, offset: number): Uint8Array => {
  let start = 0
  for (const part of parts) {
    if (offset < start + part.length) return part.slice(offset - start)
    start += part.length
  }
  return new Uint8Array()
}
