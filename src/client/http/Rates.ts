/** How many requests of each kind a registry is sent in a time. */
import * as Duration from "effect/Duration"
import type { Operation } from "../../protocol/Operation.js"

/**
 * So many requests in a time.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rate {
  readonly requests: number
  readonly per: Duration.DurationInput
  /**
   * How many may begin at once after a pause, by default what one second allows, and one at least.
   * Half of them may before the first, so that a run is slow at its start.
   */
  readonly burst?: number | undefined
}

/**
 * How many requests of each kind are sent, retries included. What exceeds a rate waits in order.
 * Nothing is limited that is left out. A request can be of several kinds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rates {
  /** What changes nothing: GET and HEAD. */
  readonly reads?: Rate | undefined
  /** GETs of manifests, by which Docker Hub counts pulls. They are reads, too. */
  readonly pulls?: Rate | undefined
  /** What changes something: POST, PATCH, PUT and DELETE. */
  readonly writes?: Rate | undefined
  /** POSTs, which open upload sessions or mount blobs. They are writes, too. */
  readonly uploads?: Rate | undefined
  /** PUTs of manifests. They are writes, too. */
  readonly pushes?: Rate | undefined
}

/** The kinds of requests. */
export type Kind = keyof Rates

const read: ReadonlyArray<Kind> = ["reads"]
const write: ReadonlyArray<Kind> = ["writes"]
const upload: ReadonlyArray<Kind> = ["writes", "uploads"]

/** The kinds of each operation. */
export const kinds: Readonly<Record<Operation["_tag"], ReadonlyArray<Kind>>> = {
  Ping: read,
  GetManifest: ["reads", "pulls"],
  HeadManifest: read,
  PutManifest: ["writes", "pushes"],
  DeleteManifest: write,
  GetBlob: read,
  HeadBlob: read,
  DeleteBlob: write,
  StartUpload: upload,
  UploadBlob: upload,
  PutBlob: write,
  MountBlob: upload,
  UploadChunk: write,
  CompleteUpload: write,
  UploadStatus: read,
  CancelUpload: write,
  ListTags: read,
  ListRepositories: read,
  ListReferrers: read
}

/**
 * The rates that registries publish, by the host of their URL (quirks §6): Docker Hub's limit on
 * abuse is "in the order of thousands of requests per minute"; the one on pulls, which it sends
 * with its responses, is for whoever has `leave` to keep. Amazon's are the default quotas of an
 * account and region. Those that a client never reaches are left out.
 */
export const published = (host: string): Rates | undefined =>
  byHost.get(host) ?? (amazonHost.test(host) ? amazon : undefined)

/** Returns the first kind whose rate cannot be kept, if there is one. */
export const invalidKind = (rates: Rates): string | undefined =>
  Object.entries(rates).find(
    ([, rate]: [string, Rate | undefined]) =>
      rate !== undefined && !(isAmount(rate.requests) && isAmount(Duration.toMillis(rate.per)))
  )?.[0]

const isAmount = (number: number) => number > 0 && Number.isFinite(number)

const byHost: ReadonlyMap<string, Rates> = new Map([
  ["registry-1.docker.io", { reads: { requests: 2000, per: "1 minute", burst: 200 } }],
  [
    "ghcr.io",
    {
      reads: { requests: 44_000, per: "1 minute" },
      uploads: { requests: 2000, per: "1 minute" }
    }
  ],
  [
    "public.ecr.aws",
    {
      uploads: { requests: 10, per: "1 second" },
      pushes: { requests: 10, per: "1 second" }
    }
  ]
])

const amazon: Rates = {
  uploads: { requests: 100, per: "1 second" },
  pushes: { requests: 10, per: "1 second" }
}

const amazonHost = /^\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)$/
