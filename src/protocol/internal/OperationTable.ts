/**
 * What is true of each operation, in one table: for requests, retries, spans and authorization.
 * What it can be refused with stands beside it in the client, since those are errors of `Registry`.
 */
import * as AccessScope from "../AccessScope.js"
import type { Case, Operation } from "./OperationCases.js"

/** What is true of one operation. */
export interface Facts<O extends Operation = Operation> {
  /** The statuses of its success. */
  readonly success: ReadonlyArray<number>
  /** Whether it has a condition, so that 304 is success, too: that the content is unchanged. */
  readonly unchanged?: (operation: O) => boolean
  /**
   * Whether it may be sent again after a failure that may pass (RFC 9110 section 9.2.2): `Unsent`
   * only where it was certainly not carried out, `Never` where another request has to ask first
   * what became of it.
   */
  readonly retry: "Always" | "Unsent" | "Never"
  /** The direction in which a blob travels, if one does: blobs take as long as they keep moving. */
  readonly transfer?: "download" | "upload"
  /**
   * The path of its request without what differs from one to the next. None where the registry
   * named the URL, which can be a secret.
   */
  readonly template?: string
  /** Whether a mirror may answer it: a pull, which names the registry that is mirrored (C107). */
  readonly isPull?: boolean
  /** Whether nothing of a success is read but its status, so that a page must not pass for one. */
  readonly isStatusOnly?: boolean
  /** Whether a 303 makes something else of it, since a GET is not that write. */
  readonly isWrite?: boolean
  /** The scopes that it needs (A9, A10), in the canonical form that servers compare by. */
  readonly scopes: (operation: O) => ReadonlyArray<string>
}

type Named = { readonly repository: string }

const pull = ({ repository }: Named) => [`repository:${repository}:pull`]
const push = ({ repository }: Named) => [`repository:${repository}:pull,push`]
const remove = ({ repository }: Named) => [`repository:${repository}:delete,pull`]

const manifest = "/v2/{name}/manifests/{reference}"
const blob = "/v2/{name}/blobs/{digest}"
const uploads = "/v2/{name}/blobs/uploads/"

/** The table. */
export const table: { readonly [Tag in Operation["_tag"]]: Facts<Case<Tag>> } = {
  Ping: { success: [200], retry: "Always", template: "/v2/", scopes: () => [] },
  GetManifest: {
    success: [200],
    unchanged: ({ unless }) => unless !== undefined,
    retry: "Always",
    template: manifest,
    isPull: true,
    scopes: pull
  },
  HeadManifest: {
    success: [200, 404], // That there is nothing is an answer, too (C30).
    retry: "Always",
    template: manifest,
    isPull: true,
    scopes: pull
  },
  PutManifest: {
    success: [201, 202, 204],
    retry: "Always",
    template: manifest,
    isWrite: true,
    scopes: push
  },
  DeleteManifest: {
    success: [200, 202, 204],
    retry: "Always",
    template: manifest,
    isStatusOnly: true,
    isWrite: true,
    scopes: remove
  },
  GetBlob: {
    success: [200, 206],
    retry: "Always",
    transfer: "download",
    template: blob,
    isPull: true,
    scopes: pull
  },
  HeadBlob: {
    success: [200, 404],
    retry: "Always",
    template: blob,
    isPull: true,
    scopes: pull
  },
  DeleteBlob: {
    success: [200, 202, 204],
    retry: "Always",
    template: blob,
    isStatusOnly: true,
    isWrite: true,
    scopes: remove
  },
  // Opening a session twice leaves one behind (trap 4).
  StartUpload: { success: [202], retry: "Unsent", template: uploads, isWrite: true, scopes: push },
  UploadBlob: {
    success: [201, 202],
    retry: "Unsent",
    transfer: "upload",
    template: uploads,
    isWrite: true,
    scopes: push
  },
  PutBlob: {
    success: [200, 201, 202, 204],
    retry: "Always",
    transfer: "upload",
    template: blob,
    isStatusOnly: true,
    isWrite: true,
    scopes: push
  },
  MountBlob: {
    success: [201, 202],
    retry: "Unsent",
    template: uploads,
    isWrite: true,
    scopes: ({ from, repository }) =>
      AccessScope.canonical([
        ...push({ repository }),
        ...(from === undefined ? [] : pull({ repository: from }))
      ])
  },
  // A PATCH appends: the session is asked instead (jib's lost chunk).
  UploadChunk: {
    success: [201, 202, 204], // C49, trap 22
    retry: "Never",
    transfer: "upload",
    isWrite: true,
    scopes: push
  },
  // A lost response to the closing PUT is settled by a HEAD.
  CompleteUpload: {
    success: [201, 202, 204],
    retry: "Never",
    transfer: "upload",
    isWrite: true,
    scopes: push
  },
  UploadStatus: { success: [200, 202, 204], retry: "Always", isStatusOnly: true, scopes: push },
  // Distribution wants `delete` as well and says so in its challenge; Quay refuses to hear of it.
  CancelUpload: {
    success: [200, 202, 204],
    retry: "Always",
    isStatusOnly: true,
    isWrite: true,
    scopes: push
  },
  ListTags: { success: [200], retry: "Always", template: "/v2/{name}/tags/list", scopes: pull },
  ListRepositories: {
    success: [200],
    retry: "Always",
    template: "/v2/_catalog",
    scopes: () => ["registry:catalog:*"]
  },
  ListReferrers: {
    success: [200],
    retry: "Always",
    template: "/v2/{name}/referrers/{digest}",
    scopes: pull
  }
}

/** Returns what is true of an operation. */
export const factsOf = <O extends Operation>(operation: O): Facts<O> =>
  // The compiler does not see that the tag of an `O` picks the facts of an `O`.
  table[operation._tag] as unknown as Facts<O>
