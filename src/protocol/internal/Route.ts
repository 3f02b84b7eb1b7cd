/**
 * The paths below `/v2/`, recognised and built. A route holds the strings as they stand in the
 * path, percent-decoded but not validated: whether they are names, tags or digests is for
 * `Operation` to say.
 */
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import type { Digest } from "../../spec/Digest.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"

/** One kind of path of the distribution specification. */
export type Route = Data.TaggedEnum<{
  /** `/v2/` */
  Base: Record<never, never>
  /** `/v2/_catalog` (C92) */
  Catalog: Record<never, never>
  /** `/v2/<name>/manifests/<reference>` */
  Manifest: { readonly name: string; readonly reference: string }
  /** `/v2/<name>/blobs/<digest>` */
  Blob: { readonly name: string; readonly digest: string }
  /** `/v2/<name>/blobs/uploads/` */
  Uploads: { readonly name: string }
  /** `/v2/<name>/blobs/uploads/<session>` */
  Upload: { readonly name: string; readonly session: string }
  /** `/v2/<name>/tags/list` */
  Tags: { readonly name: string }
  /** `/v2/<name>/referrers/<digest>` */
  Referrers: { readonly name: string; readonly digest: string }
}>

const { Base, Catalog, Manifest, Blob, Uploads, Upload, Tags, Referrers } = Data.taggedEnum<Route>()

/**
 * Recognises a path (without query). It is matched from the right, because a repository may contain
 * components called `blobs`, `manifests`, `tags`, `uploads` or `referrers` (trap 64). Segments are
 * split before they are percent-decoded, once; an escaped slash or a broken escape is no route
 * (T8).
 */
export const match = (path: string): Option.Option<Route> => {
  // Other registries send those who forget the slash to "/v2/", or answer at once.
  if (path === "/v2/" || path === "/v2") return Option.some(Base())
  if (!path.startsWith("/v2/")) return Option.none()
  const segments: Array<string> = []
  for (const segment of path.slice(4).split("/")) {
    const decoded = decodeSegment(segment)
    // At the first bad one, since each costs an exception (T16).
    if (Option.isNone(decoded)) return Option.none()
    segments.push(decoded.value)
  }
  return fromSegments(segments)
}

/** The path of the list of repositories (C92). */
export const catalogPath = "/v2/_catalog"

/**
 * Returns the path of a manifest, for requests (end-3, end-7, end-9) and for the `Location` of a
 * pushed one (R28).
 */
export const manifestPath = (repository: RepositoryName, reference: Tag | Digest): string =>
  `/v2/${repository}/manifests/${reference}`

/**
 * Returns the path of a blob, for requests (end-2, end-10) and for the `Location` of a pushed one
 * (R15).
 */
export const blobPath = (repository: RepositoryName, digest: Digest): string =>
  `/v2/${repository}/blobs/${digest}`

/** Returns the path at which uploads are started (end-4, end-11). */
export const uploadsPath = (repository: RepositoryName): string =>
  `/v2/${repository}/blobs/uploads/`

/**
 * Returns the path of one upload, for the `Location` of a response (R14). `session` is the server's
 * own identifier and must consist of characters that need no escape in a path, as a UUID does.
 * Clients never build this path (C39).
 */
export const uploadPath = (repository: RepositoryName, session: string): string =>
  `${uploadsPath(repository)}${session}`

/** Returns the path of a repository's list of tags (end-8). */
export const tagsPath = (repository: RepositoryName): string => `/v2/${repository}/tags/list`

/** Returns the path of the list of a manifest's referrers (end-12). */
export const referrersPath = (repository: RepositoryName, digest: Digest): string =>
  `/v2/${repository}/referrers/${digest}`

const decode = Option.liftThrowable(decodeURIComponent)

const decodeSegment = (segment: string): Option.Option<string> =>
  segment.includes("%")
    ? Option.filter(decode(segment), (decoded) => !decoded.includes("/"))
    : Option.some(segment)

const fromSegments = (segments: ReadonlyArray<string>): Option.Option<Route> => {
  const last = segments.at(-1) ?? ""
  const kind = segments.at(-2)
  if (kind === undefined) return last === "_catalog" ? Option.some(Catalog()) : Option.none()
  const name = segments.slice(0, -2).join("/")
  if (kind === "uploads") {
    const repository = segments.slice(0, -3).join("/")
    if (segments.at(-3) !== "blobs" || repository === "") return Option.none()
    return Option.some(
      last === "" ? Uploads({ name: repository }) : Upload({ name: repository, session: last })
    )
  }
  if (name === "" || last === "") return Option.none()
  switch (kind) {
    case "manifests":
      return Option.some(Manifest({ name, reference: last }))
    // Clients that forget the slash of end-4 must not be told that "uploads" is a bad digest.
    case "blobs":
      return Option.some(last === "uploads" ? Uploads({ name }) : Blob({ name, digest: last }))
    case "referrers":
      return Option.some(Referrers({ name, digest: last }))
    case "tags":
      return last === "list" ? Option.some(Tags({ name })) : Option.none()
    default:
      return Option.none()
  }
}
