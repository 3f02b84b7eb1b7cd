/**
 * Passwords in a file of Apache's `htpasswd`, as bcrypt hashes, which the package `@node-rs/bcrypt`
 * checks on threads of its own. One check takes as long as an attacker is meant to wait, so that a
 * login is not checked again with each request (V15).
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { CredentialsFailure, StorageFailure } from "../../RegistryError.js"
import type { Digest } from "../../spec/Digest.js"
import type { Passwords } from "./Passwords.js"
import * as Secrets from "./Secrets.js"

/** What is needed of the package. */
export interface Bcrypt {
  readonly verify: (password: string, hash: string) => Promise<boolean>
}

/**
 * A bcrypt hash: version, cost, and 16 bytes of salt and 23 of hash, whose last digits have no bits
 * to spare. `verify` refuses any other at once.
 */
const hashForm =
  /^\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]$/

/** How long a login that was right is remembered, in milliseconds. */
const remembered = 5 * 60 * 1000

/** Logins beyond this are forgotten, the oldest first. */
const capacity = 1000

/** Half of the threads that Node has for all its work: name lookups wait for them, too. */
const parallel = 2

/** Loads the package, which is an optional peer. */
export const load = (path: string): Effect.Effect<Bcrypt, CredentialsFailure> =>
  Effect.tryPromise({
    try: () => import("@node-rs/bcrypt"),
    catch: () =>
      new CredentialsFailure({
        source: path,
        problem: "bcrypt needs the package @node-rs/bcrypt, which cannot be loaded",
        fix: "Install it: npm install @node-rs/bcrypt"
      })
  })

/** Reads the file, and again whenever it has changed. */
export const make = Effect.fnUntraced(function* (path: string, bcrypt: Bcrypt) {
  const fileSystem = yield* FileSystem.FileSystem
  const permits = yield* Effect.makeSemaphore(parallel)
  const secret = Secrets.random()
  let latest: File | undefined

  const current: Effect.Effect<File, StorageFailure> = Effect.gen(function* () {
    const { ino, mtime, size } = yield* fileSystem.stat(path)
    // Before it is read: what is written meanwhile is seen the next time.
    const stamp = [Option.getOrUndefined(ino), Option.getOrUndefined(mtime)?.getTime(), size].join()
    if (latest?.stamp === stamp) return latest
    const text = yield* fileSystem.readFileString(path)
    latest = yield* parse(path, text, stamp)
    return latest
  }).pipe(Effect.mapError((cause) => new StorageFailure({ path, cause })))

  yield* current
  return {
    verify: Effect.fnUntraced(function* (user, password) {
      const plain = Redacted.value(password)
      const file = yield* current
      const key = Secrets.hash(JSON.stringify([secret, user, plain]))
      const isKnown = Effect.map(
        Clock.currentTimeMillis,
        (now) => (file.verified.get(key) ?? Number.NEGATIVE_INFINITY) > now
      )
      if (yield* isKnown) return true
      const check = Effect.gen(function* () {
        // The same login may have been checked while this one waited.
        if (yield* isKnown) return true
        const hash = file.hashes.get(user)
        const isRight = yield* Effect.promise(() => bcrypt.verify(plain, hash ?? file.nobody))
        if (!isRight || hash === undefined) return false
        const now = yield* Clock.currentTimeMillis
        Secrets.put(file.verified, key, now + remembered, capacity)
        return true
      })
      return yield* permits.withPermits(1)(check)
    }),
    revision: (user) => Effect.map(current, ({ hashes }) => Option.fromNullable(hashes.get(user)))
  } satisfies Passwords
})

/** What the file had when it was read. */
interface File {
  readonly stamp: string
  readonly hashes: ReadonlyMap<string, string>
  /** The hash that is checked for users that are not in the file. */
  readonly nobody: string
  /** Until when the logins that were right are remembered, by hashes with a secret key. */
  readonly verified: Map<Digest, number>
}

const parse = Effect.fnUntraced(function* (path: string, text: string, stamp: string) {
  const hashes = new Map<string, string>()
  const others: Array<number> = []
  let cost = 10
  for (const [index, line] of text.split("\n").entries()) {
    const [user = "", hash = ""] = line.trim().split(":")
    if (user.startsWith("#") || line.trim() === "") continue
    const [, ownCost] = hashForm.exec(hash) ?? []
    if (user === "" || ownCost === undefined) others.push(index + 1)
    else if (!hashes.has(user)) {
      cost = hashes.size === 0 ? Number(ownCost) : Math.max(cost, Number(ownCost))
      hashes.set(user, hash)
    }
  }
  if (others.length > 0)
    yield* Effect.logWarning(
      `${path} has lines that are no user with a bcrypt hash, as htpasswd -B writes them: ` +
        `${others.slice(0, 10).join(", ")}. Nobody can log in with these`
    )
  // A hash of nothing that takes as long as one of a password.
  const nobody = `$2b$${String(cost).padStart(2, "0")}$${".".repeat(53)}`
  return { stamp, hashes, nobody, verified: new Map() } satisfies File
})
