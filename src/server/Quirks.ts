/**
 * How registries differ from the specification and from each other, as switches of a
 * `RegistryServer`, for tests: a program that works against each of these profiles has met what the
 * registries themselves would have done to it.
 *
 * Each field is one difference. A profile is a record, so that profiles and fields of your own are
 * put together by spreading them: the later wins.
 *
 * ```ts
 * const ours: Quirks = { ...Quirks.harbor, storage: 307 }
 * ```
 *
 * @since 0.1.0
 */

/**
 * A response in place of the registry's own. With a `code` its body is an [error
 * list](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes),
 * otherwise it is `body`, by default empty.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reply {
  readonly status: number
  readonly code?: string | undefined
  readonly message?: string | undefined
  readonly body?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * The differences. None of them is there unless it is named.
 *
 * @since 0.1.0
 * @category models
 */
export interface Quirks {
  // Who is asking. These show only where the server has an `authorization`.

  /**
   * The realm that challenges name in place of the server's own token endpoint: a path of the
   * registry, or a URL. Tokens are served at its path as well, whatever the host.
   */
  readonly realm?: string | undefined
  /** The `service` that challenges name, and for which tokens are issued. */
  readonly service?: string | undefined
  /** The `scope` of all challenges for tokens; `null` leaves it out. */
  readonly challengeScope?: string | null | undefined
  /** The `scope` of the challenge to `GET /v2/`, which may be of nobody's repository. */
  readonly pingScope?: string | undefined
  /** Scheme names in upper or lower case: `BASIC`, `bearer`. */
  readonly challengeCase?: "upper" | "lower" | undefined
  /** The parameters of challenges are not quoted, although they are not tokens. */
  readonly unquotedChallenges?: true | undefined
  /** Offers a password beside a token: on a line of its own, or in the same field. */
  readonly basicToo?: "line" | "field" | undefined
  /** The realm of challenges for a password; `{url}` in it is the URL of the request. */
  readonly basicRealm?: string | undefined
  /** A `service` in challenges for a password. */
  readonly basicService?: string | undefined
  /** Only `GET /v2/` has a challenge: other requests are refused with 401 and none. */
  readonly challengePingOnly?: true | undefined
  /** A token that is not taken is answered with a challenge for a password, with this realm. */
  readonly basicAfterToken?: string | undefined
  /** What a wrong password is answered with, in place of a 401. */
  readonly refusedLogin?: Reply | undefined
  /** A challenge in the 200 to `GET /v2/`: all may read, and some may do more. */
  readonly pingChallenge?: string | undefined
  /** The body of the 200 to `GET /v2/`, as `text/html`. */
  readonly pingBody?: string | undefined
  /** The body of each 401, as `text/html`. */
  readonly unauthorizedBody?: string | undefined
  /** The members that the response of the token endpoint has. */
  readonly tokenFields?:
    | ReadonlyArray<"token" | "access_token" | "expires_in" | "issued_at" | "refresh_token">
    | undefined
  /** The response of the token endpoint has an `access_token` that is empty. */
  readonly emptyAccessToken?: true | undefined
  /** The actions that the token endpoint knows; 400 for a scope with others. */
  readonly tokenActions?: ReadonlyArray<string> | undefined
  /** What the token endpoint refuses a password with, in place of a 401. */
  readonly tokenRefusal?: Reply | undefined
  /** What a `POST` to the token endpoint is answered with. */
  readonly tokenPost?: Reply | undefined
  /** Sets a cookie with each response, and takes who brings one for a browser: 403. */
  readonly cookies?: true | undefined
  /** Responses do not have `Docker-Distribution-Api-Version`. */
  readonly apiVersion?: false | undefined

  // Manifests and blobs.

  /** The only method whose response names the digest of a manifest. */
  readonly digestHeader?: "GET" | "HEAD" | "none" | undefined
  /** The 201 to a manifest has no `Location`. */
  readonly putLocation?: false | undefined
  /** 404 for whoever does not accept the type of an OCI manifest. */
  readonly requiresAccept?: true | undefined
  /** The tag of an index is that of one of its manifests for whoever does not accept an index. */
  readonly childForIndex?: true | undefined
  /** A manifest of Docker's schema 1 for whoever accepts no type that it knows. */
  readonly schema1?: true | undefined
  /** `; charset=utf-8` behind the type of documents in JSON. */
  readonly jsonCharset?: true | undefined
  /**
   * The status with which a `GET` of a blob is redirected to storage: another host
   * (`storage.<host>`; on a loopback address `localhost` for `127.0.0.1` and the reverse), where
   * the URL is signed, and `Authorization` refused with 400 and XML. The server is its own storage.
   */
  readonly storage?: 302 | 303 | 307 | undefined
  /** A `HEAD` of a blob is redirected as well, where only `GET` is signed for: 403. */
  readonly signedForGet?: true | undefined
  /** Compresses blobs for whoever accepts `gzip`. */
  readonly gzip?: true | undefined
  /** Labels blobs as compressed on their way with this coding, which they are not. */
  readonly encodingLabel?: string | undefined
  /** The length that the response to a `HEAD` of a manifest has: 0, or none. */
  readonly headLength?: "0" | "none" | undefined
  /** What a `HEAD` for content that is not there is answered with. */
  readonly missingHead?: Reply | undefined
  /** The code of each 404. */
  readonly missingCode?: string | undefined
  /** The types of manifests that it takes; 415 for others. */
  readonly manifestTypes?: ReadonlyArray<string> | undefined
  /** Manifests have an `ETag` that is not their digest, or none. */
  readonly etag?: "other" | "none" | undefined
  /** `If-Match` and `If-None-Match` are ignored. */
  readonly ignoresConditions?: true | undefined
  /** 406 for a push whose `Accept` allows no JSON. */
  readonly pushAccept?: true | undefined
  /** The milliseconds for which reads by tag show what the tag was before it was written. */
  readonly tagLag?: number | undefined
  /** What a put of a tag that there is already is answered with. */
  readonly immutableTags?: Reply | undefined
  /** The tag `sha256-<hex>` is the manifest of the digest `sha256:<hex>`. */
  readonly digestTags?: true | undefined
  /** The tags in the query of a manifest's `PUT` are ignored. */
  readonly queryTags?: false | undefined

  // Uploads.

  /** A single `POST` opens a session, and drops the content. */
  readonly singlePost?: false | undefined
  /** What each `PATCH` is answered with. */
  readonly patch?: Reply | undefined
  /** The bytes that one `PATCH` may have; 416 for more. */
  readonly patchLimit?: number | undefined
  /** The bytes that the body of a `PATCH` or `PUT` of an upload may have; 413 and HTML for more. */
  readonly bodyLimit?: number | undefined
  /** The status of a `PATCH` that was taken, in place of 202. */
  readonly patchStatus?: 201 | 204 | undefined
  /** What a closing `PUT` with content is answered with. */
  readonly putContent?: Reply | undefined
  /** What a closing `PUT` without content is answered with, after a `PATCH`. */
  readonly emptyPut?: Reply | undefined
  /** Locations of uploads are absolute URLs, or relative to the request: `../uploads/<id>`. */
  readonly locations?: "absolute" | "relative" | undefined
  /** Locations have a state in this parameter; 416 for one that is not the newest. */
  readonly uploadState?: string | undefined
  /** Announces this `OCI-Chunk-Min-Length`, in bytes. */
  readonly chunkMinLength?: number | undefined
  /** Announces this `OCI-Chunk-Max-Length`, in bytes. */
  readonly chunkMaxLength?: number | undefined
  /** The bytes that each `PATCH` has at least, but for the last; 400 for one that follows less. */
  readonly minPart?: number | undefined
  /** The `Range` of a `PATCH` or a status stays where the first chunk ended. */
  readonly stuckRange?: true | undefined
  /** The `Range` of a session without bytes: `0--1`, `bytes=0--1`. */
  readonly emptyRange?: string | undefined
  /** A status has no `Location`, and a `Range` of `bytes=0-<count>`, one more than there are. */
  readonly countedRange?: true | undefined
  /** What a status is answered with. */
  readonly uploadStatus?: Reply | undefined
  /** Forgets a session of which a request broke off. */
  readonly forgetsBroken?: true | undefined
  /** 416 for a `PATCH` without `Content-Range` that is not the first of its session. */
  readonly numbersChunks?: true | undefined
  /** What a request to a session that is not there is answered with. */
  readonly unknownUpload?: Reply | undefined
  /** 415 for content of an upload that is not `application/octet-stream`. */
  readonly octetStreamOnly?: true | undefined
  /** The header in which responses have the id of their session. */
  readonly uploadId?: string | undefined

  // Mounts, deletes and referrers.

  /** What a mount is answered with; `session` opens an upload in place of it. */
  readonly mount?: Reply | "session" | undefined
  /** What a mount without `from` is answered with. */
  readonly mountFromAnywhere?: Reply | "session" | undefined
  /** What a delete of a tag is answered with. */
  readonly tagDelete?: Reply | undefined
  /** What a delete of a manifest is answered with. */
  readonly manifestDelete?: Reply | undefined
  /** What a delete of a manifest that has a tag is answered with. */
  readonly taggedDelete?: Reply | undefined
  /** What a delete of a blob is answered with. */
  readonly blobDelete?: Reply | undefined
  /** What a request for referrers is answered with. */
  readonly referrers?: Reply | undefined
  /** The 201 to a manifest with a subject does not have `OCI-Subject`. */
  readonly subjectHeader?: false | undefined
  /** Referrers are of all types, whichever was asked for. */
  readonly referrersFilter?: false | undefined

  // Lists.

  /** The tags on a page of whoever does not ask for a size. */
  readonly pageSize?: number | undefined
  /** The most tags on a page, whatever was asked for. */
  readonly maxPageSize?: number | undefined
  /** What is answered to whoever asks for more tags on a page. */
  readonly tagPageLimit?: PageLimit | undefined
  /** What is answered to whoever asks for more repositories on a page. */
  readonly catalogPageLimit?: PageLimit | undefined
  /** Tags come on one page, whatever was asked for. */
  readonly paging?: false | undefined
  /** What an `n` of 0 is answered with. */
  readonly emptyPage?: Reply | undefined
  /**
   * How the next page is told of: by an absolute URL; without brackets and quotes; not at all; by a
   * query alone; by `next` in the document; by a path that lacks the first component of the
   * repository.
   */
  readonly links?: "absolute" | "bare" | "none" | "query" | "body" | "shortened" | undefined
  /** What stands before the path of a link. */
  readonly linkPrefix?: string | undefined
  /** What stands behind the query of a link: `orderby=`. */
  readonly linkQuery?: string | undefined
  /** The links of referrers name the page before as well, in the same field. */
  readonly previousLinks?: true | undefined
  /** Tags come from the last to the first. */
  readonly tagOrder?: "reverse" | undefined
  /** What stands behind the tags of each page that has some, and is none: `null`, a digest. */
  readonly strayTags?: ReadonlyArray<string | null> | undefined
  /** `tags` of a list without any: `null`, or absent. */
  readonly emptyTags?: "null" | "absent" | undefined
  /** `child` and `manifest` beside the tags. */
  readonly tagMaps?: true | undefined
  /** What a request for the repositories is answered with. */
  readonly catalog?: Reply | undefined
  /** The last page of the repositories links to the first. */
  readonly endlessCatalog?: true | undefined

  // Errors.

  /**
   * How errors are said: one object in place of a list; not at all; as a list with `status` and no
   * codes; as text.
   */
  readonly errors?: "bare" | "empty" | "uncoded" | "text" | undefined
  /** `RateLimit-Limit` and `RateLimit-Remaining` of requests for manifests: `100;w=21600`. */
  readonly rateLimit?: string | undefined
  /** The text of a `Warning` with each response. */
  readonly warning?: string | undefined
}

/**
 * What whoever asks for more than `over` on a page gets.
 *
 * @since 0.1.0
 * @category models
 */
export interface PageLimit extends Reply {
  readonly over: number
}

const unsupported = { status: 405, code: "UNSUPPORTED" }
const page: Reply = {
  status: 404,
  body: "404 page not found\n",
  headers: { "content-type": "text/plain; charset=utf-8" }
}
const mebibyte = 1024 * 1024

/**
 * Docker Hub: tokens of another host, no referrers, no catalog, no deletes of tags.
 *
 * @since 0.1.0
 * @category profiles
 */
export const dockerHub: Quirks = {
  realm: "https://auth.docker.io/token",
  service: "registry.docker.io",
  tokenRefusal: { status: 401, body: '{"details":"incorrect username or password"}' },
  childForIndex: true,
  storage: 307,
  singlePost: false,
  uploadState: "_state",
  uploadId: "docker-upload-uuid",
  tagDelete: unsupported,
  taggedDelete: { status: 403, code: "DENIED" },
  referrers: page,
  subjectHeader: false,
  catalog: page,
  rateLimit: "100;w=21600"
}

/**
 * GitHub's registry: opaque tokens that do not say how long they last, chunks of 4 MiB at most, no
 * deletes, no referrers but a redirect to a page.
 *
 * @since 0.1.0
 * @category profiles
 */
export const ghcr: Quirks = {
  service: "ghcr.io",
  pingScope: "repository:user/image:pull",
  tokenFields: ["token"],
  tokenRefusal: { status: 403, code: "DENIED" },
  storage: 307,
  signedForGet: true,
  patchLimit: 4 * mebibyte,
  tagDelete: unsupported,
  manifestDelete: unsupported,
  blobDelete: unsupported,
  referrers: { status: 303, headers: { location: "https://github.com/-/v2/packages/x" } },
  subjectHeader: false,
  pageSize: 100,
  tagOrder: "reverse",
  catalog: page
}

/**
 * Amazon's registry: passwords that end, ranges that stand still, parts of 5 MiB at least, digests
 * in responses to `HEAD` only.
 *
 * @since 0.1.0
 * @category profiles
 */
export const ecr: Quirks = {
  basicService: "ecr.amazonaws.com",
  refusedLogin: { status: 403, code: "DENIED", message: "Your Authorization Token is invalid." },
  digestHeader: "HEAD",
  putLocation: false,
  missingHead: { status: 405 },
  storage: 307,
  patchStatus: 201,
  emptyPut: { status: 500 },
  locations: "absolute",
  minPart: 5 * mebibyte,
  stuckRange: true,
  uploadStatus: page,
  mount: "session",
  tagDelete: page,
  manifestDelete: page,
  blobDelete: page,
  referrers: { status: 200, body: "{}", headers: { "content-type": "application/json" } },
  pageSize: 100,
  tagPageLimit: { over: 1000, status: 405, code: "UNSUPPORTED" },
  links: "absolute"
}

/**
 * Google's registries: a challenge in the response to `GET /v2/` only, no chunks, tags that must go
 * before their manifest.
 *
 * @since 0.1.0
 * @category profiles
 */
export const gcr: Quirks = {
  realm: "/v2/token",
  challengePingOnly: true,
  storage: 302,
  patch: unsupported,
  locations: "absolute",
  taggedDelete: { status: 400, code: "GOOGLE_MANIFEST_DANGLING_TAG" },
  referrers: { status: 406 },
  subjectHeader: false,
  paging: false,
  tagMaps: true
}

/**
 * Azure's registry: an `access_token` alone, uploads that are gone after a fault, digests that
 * storage does not repeat.
 *
 * @since 0.1.0
 * @category profiles
 */
export const acr: Quirks = {
  realm: "/oauth2/token",
  basicToo: "line",
  tokenFields: ["access_token"],
  storage: 307,
  forgetsBroken: true,
  unknownUpload: { status: 404, code: "BLOB_UPLOAD_INVALID" },
  tagDelete: unsupported,
  pageSize: 100,
  maxPageSize: 1000,
  linkQuery: "orderby="
}

/**
 * Quay: HTML in responses to `GET /v2/`, a token endpoint that knows few actions, ranges that count
 * bytes, schema 1 for whoever accepts nothing newer.
 *
 * @since 0.1.0
 * @category profiles
 */
export const quay: Quirks = {
  realm: "/v2/auth",
  challengeScope: null,
  unauthorizedBody: "true",
  pingBody: "true",
  tokenFields: ["token"],
  tokenActions: ["pull", "push", "*"],
  schema1: true,
  storage: 302,
  locations: "absolute",
  emptyRange: "bytes=0--1",
  countedRange: true,
  mountFromAnywhere: { status: 400 },
  blobDelete: { status: 405, code: "METHOD NOT ALLOWED" },
  referrers: page,
  subjectHeader: false,
  pageSize: 100,
  maxPageSize: 100,
  tagOrder: "reverse"
}

/**
 * Harbor: an empty `access_token`, passwords after expired tokens, cookies, mounts that are
 * refused, no deletes of tags.
 *
 * @since 0.1.0
 * @category profiles
 */
export const harbor: Quirks = {
  realm: "/service/token",
  service: "harbor-registry",
  basicAfterToken: "harbor",
  emptyAccessToken: true,
  tokenRefusal: { status: 401 },
  cookies: true,
  jsonCharset: true,
  missingCode: "UNKNOWN",
  locations: "absolute",
  mount: { status: 404, code: "NOT_FOUND" },
  tagDelete: { status: 400, code: "UNSUPPORTED" },
  previousLinks: true
}

/**
 * GitLab: tokens of another path, tags named after digests, locations that are absolute.
 *
 * @since 0.1.0
 * @category profiles
 */
export const gitlab: Quirks = {
  realm: "/jwt/auth",
  service: "container_registry",
  tokenFields: ["token"],
  requiresAccept: true,
  storage: 307,
  digestTags: true,
  queryTags: false,
  singlePost: false,
  locations: "absolute",
  uploadState: "_state",
  mountFromAnywhere: "session",
  tagDelete: { status: 400, code: "DIGEST_INVALID" },
  referrers: page,
  subjectHeader: false
}

/**
 * Artifactory: content by `PATCH` only, no OAuth 2, errors without codes, links without the first
 * component of the repository.
 *
 * @since 0.1.0
 * @category profiles
 */
export const artifactory: Quirks = {
  basicRealm: "Artifactory Realm",
  realm: "/v2/token",
  tokenPost: { status: 401 },
  storage: 302,
  pushAccept: true,
  putContent: { status: 405 },
  locations: "absolute",
  strayTags: [`sha256:${"0".repeat(64)}`],
  links: "shortened",
  errors: "uncoded"
}

/**
 * Nexus: `BASIC`, ETags that are not digests, links below `/repository/`, null among the tags.
 *
 * @since 0.1.0
 * @category profiles
 */
export const nexus: Quirks = {
  realm: "/v2/token",
  basicRealm: "Sonatype Nexus Repository Manager",
  challengeScope: null,
  challengeCase: "upper",
  etag: "other",
  locations: "absolute",
  referrers: page,
  subjectHeader: false,
  links: "absolute",
  linkPrefix: "/repository/docker",
  strayTags: [null]
}

/**
 * Gitea and Forgejo: a token and a password in one field, for the scope `*`; errors without a body.
 *
 * @since 0.1.0
 * @category profiles
 */
export const gitea: Quirks = {
  realm: "/v2/token",
  service: "container_registry",
  challengeScope: "*",
  basicToo: "field",
  basicRealm: "Gitea Container Registry",
  tokenFields: ["token"],
  numbersChunks: true,
  referrers: page,
  subjectHeader: false,
  errors: "empty"
}

/**
 * Cloudflare's serverless registry: another realm for each request, chunks of 5 MiB at least, links
 * without brackets, a catalog that never ends.
 *
 * @since 0.1.0
 * @category profiles
 */
export const cloudflare: Quirks = {
  basicRealm: "{url}",
  singlePost: false,
  uploadState: "_stateHash",
  chunkMinLength: 5 * mebibyte,
  chunkMaxLength: 100_000_000,
  bodyLimit: 100_000_000,
  emptyRange: "0--1",
  pageSize: 50,
  emptyPage: { status: 400 },
  links: "bare",
  endlessCatalog: true
}

/**
 * zot: a scope that is empty, challenges in responses to anybody's ping, errors that are no list.
 *
 * @since 0.1.0
 * @category profiles
 */
export const zot: Quirks = {
  service: "zot",
  challengeScope: "",
  pingChallenge: "basic realm=zot registry",
  manifestTypes: [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json"
  ],
  octetStreamOnly: true,
  uploadId: "blob-upload-uuid",
  errors: "bare"
}

/**
 * Docker's registry 2.8: a manifest of an index for whoever does not accept that, no single `POST`,
 * states of uploads, no deletes unless they are enabled, no referrers.
 *
 * @since 0.1.0
 * @category profiles
 */
export const distribution2: Quirks = {
  service: "registry.docker.io",
  requiresAccept: true,
  childForIndex: true,
  ignoresConditions: true,
  queryTags: false,
  singlePost: false,
  locations: "absolute",
  uploadState: "_state",
  unknownUpload: { status: 404, code: "BLOB_UPLOAD_INVALID" },
  octetStreamOnly: true,
  uploadId: "docker-upload-uuid",
  mountFromAnywhere: "session",
  tagDelete: unsupported,
  manifestDelete: unsupported,
  blobDelete: unsupported,
  referrers: page,
  subjectHeader: false,
  referrersFilter: false,
  paging: false,
  emptyTags: "null"
}

/**
 * Docker's registry 3: as 2.8, with pages of tags, and a catalog that refuses pages of more than
 * 1000.
 *
 * @since 0.1.0
 * @category profiles
 */
export const distribution3: Quirks = {
  ...distribution2,
  paging: undefined,
  catalogPageLimit: { over: 1000, status: 400, code: "PAGINATION_NUMBER_INVALID" }
}
