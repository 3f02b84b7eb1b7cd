/**
 * The lists of referrers under referrers tags, where the registry keeps none. A change reads the
 * list, puts another one in its place, and looks whether that is what is there then: few registries
 * heed the condition of the put, so other writers are noticed by what the tag is (C80, trap 50).
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import type { Registry } from "../../Registry.js"
import {
  type DigestMismatch,
  type InvalidManifest,
  isTransient,
  PreconditionFailed,
  ProtocolViolation
} from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import * as Reference from "../../spec/Reference.js"
import type { StatusError } from "../http/Classify.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { ExchangeError } from "../http/ExchangeError.js"
import type { OwnErrors } from "../http/OperationErrors.js"
import type { Pipeline } from "../http/Pipeline.js"
import type * as Received from "../http/Received.js"
import * as Retry from "../http/Retry.js"
import * as ConditionalPut from "./ConditionalPut.js"
import { ListMemory, type State, stateOf } from "./ListMemory.js"
import { invalid, type ManifestRequests, nameOf } from "./ManifestRequests.js"
import * as ReferrersTag from "./ReferrersTag.js"
import * as Turns from "./Turns.js"

/** What is under a referrers tag. */
export interface Found {
  readonly manifest: Manifest.Manifest
  readonly response: Received.Received
}

/** What reading a list can fail with. */
export type ReadError = InvalidManifest | ProtocolViolation | StatusError | ExchangeError

/** What changing a list can fail with. */
export type ChangeError = ReadError | OwnErrors["PutManifest"] | DigestMismatch

/** The lists of one registry. */
export interface TaggedLists {
  /** Reads the list of a subject: none where there is nothing that could be one. */
  readonly read: (
    repository: RepositoryName,
    subject: Digest.Digest
  ) => Effect.Effect<Option.Option<Found>, ReadError>
  /** The changes of a list that were made here a short time ago: what is read may lack them. */
  readonly recent: (
    repository: RepositoryName,
    subject: Digest.Digest
  ) => Effect.Effect<ReadonlyArray<ReferrersTag.Change>>
  /**
   * Notes that a manifest or tag was deleted, so that no list of it is brought back by what is
   * remembered of it: it was a list, or it has no referrers any more.
   */
  readonly noteDeletion: (
    repository: RepositoryName,
    reference: Tag | Digest.Digest
  ) => Effect.Effect<void>
  /**
   * Changes the list of a subject. Changes of one list are made one after the other in this
   * process, and those that wait for the same turn are made together.
   */
  readonly change: (
    repository: RepositoryName,
    subject: Digest.Digest,
    change: ReferrersTag.Change
  ) => Effect.Effect<void, ChangeError>
}

/** A change that waits for its turn, and what came of it. */
interface Waiting {
  readonly change: ReferrersTag.Change
  exit: Exit.Exit<void, ChangeError> | undefined
}

/** One list, for as long as it is in use or remembered. */
interface List {
  readonly repository: RepositoryName
  readonly subject: Digest.Digest
  readonly tag: Tag
  readonly memory: ListMemory
  waiting: ReadonlyArray<Waiting>
  users: number
}

/**
 * What a referrers tag is when it is read. The state is unknown where the registry takes the tag
 * for something else, and there is no condition where the registry would not understand it.
 */
interface Read {
  readonly found: Option.Option<Found>
  readonly state: State | undefined
  readonly condition: State | undefined
}

/**
 * The waits before a tag that is still what it was is looked at again, 7.5 seconds in all. A
 * registry that answered 201 has the list, and shows it later.
 */
const lags = [500, 1000, 2000, 4000]

/** How many times a list is put because of other writers, before that is an error. */
const maxRounds = 40

/** The lists of one registry. */
export const make = (
  to: Endpoint,
  pipeline: Pipeline,
  requests: ManifestRequests,
  head: Registry.Service["headManifest"]
): TaggedLists => {
  const lists = new Map<string, List>()
  const readTag = makeReadTag(to, requests)
  const update = makeUpdate(to, pipeline, requests, head)

  const listOf = (repository: RepositoryName, subject: Digest.Digest, now: number): List => {
    for (const [key, { memory, users }] of lists)
      if (users === 0 && memory.isForgotten(now)) lists.delete(key)
    const tag = Reference.referrersTag(subject)
    const key = `${repository}:${tag}`
    const list = lists.get(key) ?? {
      repository,
      subject,
      tag,
      memory: new ListMemory(),
      waiting: [],
      users: 0
    }
    lists.set(key, list)
    return list
  }

  /** Makes the changes that wait; those that an interruption leaves undone wait for the next. */
  const updateAll = (list: List) =>
    Effect.suspend(() => {
      const batch = list.waiting
      list.waiting = []
      return Effect.onExit(
        update(
          list,
          batch.map(({ change }) => change)
        ),
        (exit) =>
          Effect.sync(() => {
            if (Exit.isInterrupted(exit)) list.waiting = [...batch, ...list.waiting]
            else for (const waiting of batch) waiting.exit = exit
          })
      )
    })

  const change: TaggedLists["change"] = Effect.fnUntraced(function* (repository, subject, change) {
    const list = listOf(repository, subject, yield* Clock.currentTimeMillis)
    const mine: Waiting = { change, exit: undefined }
    yield* Effect.acquireUseRelease(
      Effect.sync(() => {
        list.users++
        list.waiting = [...list.waiting, mine]
      }),
      () =>
        Turns.run(
          `${to.base}/${repository}:${list.tag}`,
          Effect.suspend(() => mine.exit ?? updateAll(list))
        ),
      () =>
        Effect.sync(() => {
          list.users--
          list.waiting = list.waiting.filter((waiting) => waiting !== mine)
        })
    )
  })

  const read: TaggedLists["read"] = (repository, subject) =>
    Effect.map(readTag(repository, subject), ({ found }) => found)

  const recent: TaggedLists["recent"] = (repository, subject) =>
    Effect.map(
      Clock.currentTimeMillis,
      (now) =>
        lists.get(`${repository}:${Reference.referrersTag(subject)}`)?.memory.with([], now) ?? []
    )

  const noteDeletion: TaggedLists["noteDeletion"] = (repository, reference) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      for (const { memory, repository: of, subject, tag } of lists.values()) {
        if (of !== repository) continue
        if (reference === subject) memory.noteSubjectDeletion()
        else if (reference === tag || memory.isLast(reference)) memory.noteDeletion(now)
      }
    })

  return { read, recent, noteDeletion, change }
}

/** Returns what makes some changes of a list. */
const makeUpdate = (
  to: Endpoint,
  { remove }: Pipeline,
  requests: ManifestRequests,
  head: Registry.Service["headManifest"]
) => {
  const readTag = makeReadTag(to, requests)
  const look = makeLook(to, head)
  const clean = makeClean(to, remove)
  /** A condition that did not hold proves that the registry heeds them. */
  let heedsConditions = false

  return Effect.fnUntraced(function* (list: List, wanted: ReadonlyArray<ReferrersTag.Change>) {
    const { memory, repository, subject, tag } = list
    const recover = makeRecover(to, head, list)
    let changes = wanted
    for (let round = 1; ; round++) {
      const began = yield* Clock.currentTimeMillis
      const { condition, found, state } = yield* readTag(repository, subject)
      const newer = state === undefined ? undefined : memory.newer(state, began)
      const current =
        newer === undefined
          ? Option.map(found, ({ manifest }) => manifest)
          : Option.liftPredicate(newer, (list) => list !== "absent")
      const next = yield* Effect.mapError(
        ReferrersTag.changed(current, memory.with(changes, began)),
        (error) =>
          invalid(nameOf(to, repository, tag), error, Option.getOrUndefined(found)?.response)
      )
      if (Option.isNone(next)) return
      const is = newer && stateOf(newer)
      const [before, onlyIf] = is === undefined ? [state, condition] : [is, is]
      const put = yield* Effect.either(requests.put(repository, next.value, tag, { onlyIf }))
      if (Either.isLeft(put)) {
        heedsConditions ||= put.left._tag === "PreconditionFailed"
        if (round >= maxRounds) return yield* put.left
        const lost = yield* recover(put.left, onlyIf, next.value, wanted)
        changes = [...lost, ...changes]
      } else {
        memory.note(next.value, before, changes, began)
        if (state === undefined) return
        const seen = yield* look(list, next.value, heedsConditions ? undefined : began)
        if (seen === "Put" && Option.isSome(current)) yield* clean(repository, current.value)
        if (typeof seen === "string") return
        const expected = next.value.descriptor.digest
        const lost = { repository, tag, expected, actual: seen.other, reason: "LostRace" } as const
        if (round >= maxRounds) return yield* new PreconditionFailed(lost)
      }
      // Others are there: not in step with them.
      if (round > 2) yield* Effect.sleep(yield* Random.nextIntBetween(0, Math.min(20 * round, 500)))
    }
  })
}

const makeReadTag = (to: Endpoint, { pull }: ManifestRequests) =>
  Effect.fnUntraced(
    function* (repository: RepositoryName, subject: Digest.Digest) {
      const tag = Reference.referrersTag(subject)
      const [bytes, response] = yield* pull(repository, tag)
      if (ReferrersTag.isSubject(bytes, subject)) return unknown
      const manifest = yield* Effect.mapError(
        Manifest.fromBytes(bytes, {
          mediaType: SingleField.value(response.headers, "content-type")
        }),
        (error) => invalid(nameOf(to, repository, tag), error, response)
      )
      const { digest } = manifest.descriptor
      const etag = SingleField.value(response.headers, "etag")
      const isDigest = etag === undefined || etag === `"${digest}"`
      return {
        found: Option.some({ manifest, response }),
        state: digest,
        condition: isDigest ? digest : undefined
      } satisfies Read
    },
    Effect.map((read): Read => read),
    Effect.catchTags({
      // A list that storage has lost, or not got yet, is not to be begun anew.
      ManifestUnknown: ({ method, status, url = to.base }) =>
        Trust.isAt(to.origin, url)
          ? Effect.succeed(absent)
          : new ProtocolViolation({
              method,
              url,
              status,
              problem: "The registry has a list of referrers, which is not where it redirects to"
            }),
      NameUnknown: () => Effect.succeed(absent)
    })
  )

const absent: Read = { found: Option.none(), state: "absent", condition: "absent" }
const unknown: Read = { found: Option.none(), state: undefined, condition: undefined }

/**
 * Returns what goes on after a put that failed, or fails with it. What may pass is tried again, and
 * so is a condition that did not hold; if the tag is read as before nevertheless, that read lags.
 * Where the registry misses what the list names, the changes that are returned take out the entries
 * whose manifests are gone.
 */
const makeRecover = (
  to: Endpoint,
  head: Registry.Service["headManifest"],
  { memory, repository }: List
) => {
  const again = Retry.attempts<ChangeError>(to)
  /** The entries whose manifests are gone, but for those that are to be added. */
  const dangling = (list: Manifest.Manifest, wanted: ReadonlyArray<ReferrersTag.Change>) =>
    Effect.filter(
      Manifest.references(list).filter(
        ({ digest }) => !wanted.some((change) => ReferrersTag.digestOf(change) === digest)
      ),
      ({ digest }) => Effect.map(head(repository, digest), Option.isNone),
      { concurrency: 4 }
    ).pipe(Effect.orElseSucceed(() => []))
  let refused: State | undefined
  let lag = 0
  return Effect.fnUntraced(function* (
    error: ChangeError,
    onlyIf: State | undefined,
    list: Manifest.Manifest,
    wanted: ReadonlyArray<ReferrersTag.Change>
  ): Effect.fn.Return<ReadonlyArray<ReferrersTag.Change>, ChangeError> {
    switch (error._tag) {
      case "PreconditionFailed":
        memory.doubt()
        if (onlyIf !== refused) {
          refused = onlyIf
          return []
        }
        break
      case "BlobUnknown": {
        const gone = yield* dangling(list, wanted)
        if (gone.length > 0) return gone.map(({ digest }) => ({ _tag: "Remove", digest }))
        break
      }
      default:
        yield* again(error)
        return []
    }
    const wait = lags[lag++]
    if (wait === undefined) return yield* error
    yield* Effect.sleep(wait)
    return []
  })
}

/**
 * Returns what looks at a tag until it is the list that was put, which lasts as long as reads lag,
 * or what another writer has put in its place. Where conditions are ignored, somebody who had read
 * before can put after: the first look is as late as two changes that begin at `began` take, or two
 * seconds.
 */
const makeLook = (to: Endpoint, head: Registry.Service["headManifest"]) =>
  Effect.fnUntraced(function* (
    { memory, repository, tag }: List,
    list: Manifest.Manifest,
    began: number | undefined
  ): Effect.fn.Return<"Put" | "Unseen" | { readonly other: State }> {
    const now = yield* Clock.currentTimeMillis
    yield* Effect.sleep(Math.min(2 * (now - (began ?? now)), 2000))
    for (const wait of [...lags, undefined]) {
      const seen = yield* Effect.option(ConditionalPut.stateOf(head, repository, tag))
      if (Option.isNone(seen)) return "Unseen"
      if (ConditionalPut.isOf(list, seen.value)) return "Put"
      if (!memory.isReplaced(seen.value)) return { other: seen.value }
      if (wait !== undefined) yield* Effect.sleep(wait)
    }
    yield* Effect.logWarning(
      `${nameOf(to, repository, tag)} was put, and the registry still shows what it was`
    )
    return "Unseen"
  })

/**
 * Returns what deletes a list that another one has replaced: registries keep the referrers that it
 * names (CP08, trap 52). A refusal is a warning, and is not provoked again.
 */
const makeClean = (to: Endpoint, remove: Pipeline["remove"]) => {
  let isRefused = false
  return Effect.fnUntraced(function* (
    repository: RepositoryName,
    { content, descriptor: { digest } }: Manifest.Manifest
  ) {
    // An empty index can be anybody's.
    if (isRefused || content._tag !== "ImageIndex" || content.manifests.length === 0) return
    const deletion = Operation.DeleteManifest({ repository, reference: digest })
    yield* Effect.catchAll(remove(deletion, Effect.succeed(true)), (error) => {
      if (error._tag === "ManifestUnknown" || error._tag === "NameUnknown") return Effect.void
      isRefused ||= !isTransient(error)
      return Effect.logWarning(
        `${nameOf(to, repository, digest)}, a list of referrers that another one has replaced, ` +
          "could not be deleted",
        error
      )
    })
  })
}
