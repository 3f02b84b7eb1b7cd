/**
 * References to content in a registry, as people write them: `ghcr.io/owner/name:tag`, `ubuntu`,
 * `host:5000/a@sha256:…`. A parsed reference is canonical: it always has a host, and Docker Hub's
 * short forms are spelled out.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Digest from "./Digest.js"
import * as Host from "./Host.js"
import * as Parsed from "./internal/Parsed.js"
import * as ServerText from "./internal/ServerText.js"
import * as Values from "./internal/Value.js"

/**
 * The name of a repository within a registry, such as `library/ubuntu` ([Pulling
 * manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)).
 *
 * @since 0.1.0
 * @category models
 */
export type RepositoryName = string & Brand.Brand<"RepositoryName">

/**
 * The name of a manifest within a repository, such as `latest`.
 *
 * @since 0.1.0
 * @category models
 */
export type Tag = string & Brand.Brand<"Tag">

/**
 * A repository on a host, and which of its manifests is meant. Where there is both a tag and a
 * digest, the digest decides. Where there is neither, operations that read take the tag `latest`,
 * and those that write or remove never do: they fail with {@link InvalidReference}, and `latest`
 * has to be written. `host` may have a port; it is in the form that `Host.fromString`
 * returns, such as `docker.io` for Docker Hub, but for hosts that only their capitals or their port
 * tell from the name of a repository.
 *
 * A reference that was parsed or made by {@link make} is equal (`Equal.equals`) to others that say
 * the same, and is shown as {@link format} has it. A plain object is accepted wherever a reference
 * is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reference {
  readonly host: string
  readonly repository: RepositoryName
  readonly tag: Option.Option<Tag>
  readonly digest: Option.Option<Digest.Digest>
}

/**
 * Occurs for a text that is not a reference, or not the part of one that `reason` names. `input` is
 * cut to 128 characters, and user information in it is masked.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidReference extends Schema.TaggedError<InvalidReference>(
  "effect-oci/InvalidReference"
)("InvalidReference", {
  input: Schema.String,
  reason: Schema.Literal("Empty", "TooLong", "Scheme", "Host", "Repository", "Tag", "Digest"),
  message: Schema.String
}) {}

/**
 * Parses a reference, `[host[:port]/]name[:tag][@digest]`, by Docker's rules: the first part is a
 * host if it contains a `.` or a `:`, is `localhost` or has an upper-case letter; without a host it
 * is Docker Hub, where a name of one component is below `library/`. No tag is added: see {@link
 * tagOrDigest}.
 *
 * Fails with {@link InvalidReference}.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Reference from "effect-oci/Reference"
 *
 * Effect.map(Reference.parse("ubuntu:24.04"), Reference.format) // docker.io/library/ubuntu:24.04
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (input: string): Effect.Effect<Reference, InvalidReference> =>
  Parsed.toEffect(parsed(input))

/**
 * Returns the reference that a text is, for one that is written in the source. Throws what
 * {@link parse} fails with.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsafeParse = (input: string): Reference => Parsed.orThrow(parsed(input))

/**
 * Makes a reference of its parts, canonical as one that was parsed: the names of Docker Hub are
 * `docker.io`, where a repository of one component is below `library/`.
 *
 * Throws {@link InvalidReference} where `host` is not a host that a reference can name (one without
 * a dot needs a port, unless it is `localhost`), or host and repository are longer than 255
 * characters together.
 *
 * @example
 * ```ts
 * import * as Reference from "effect-oci/Reference"
 *
 * const reference = Reference.make({
 *   host: "ghcr.io",
 *   repository: Reference.RepositoryName.make("owner/name"),
 *   tag: Reference.Tag.make("v1")
 * })
 * String(reference) // ghcr.io/owner/name:v1
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (parts: {
  readonly host: string
  readonly repository: RepositoryName
  readonly tag?: Tag | undefined
  readonly digest?: Digest.Digest | undefined
}): Reference => {
  const { digest, host, repository, tag } = parts
  const input = `${host}/${repository}`
  return Parsed.orThrow(
    Either.flatMap(writtenHost(input, host), (canonical) =>
      assemble(input, canonical, repository, tag, digest)
    )
  )
}

/**
 * Parses the name of a repository, without host, tag or digest.
 *
 * Fails with {@link InvalidReference} for the reason `Repository`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseRepositoryName = (
  input: string
): Effect.Effect<RepositoryName, InvalidReference> => Parsed.toEffect(parseName(input, input))

/**
 * Returns the name of a repository that a text is, for one that is written in the source. Throws
 * what {@link parseRepositoryName} fails with.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsafeParseRepositoryName = (input: string): RepositoryName =>
  Parsed.orThrow(parseName(input, input))

/**
 * Parses a tag.
 *
 * Fails with {@link InvalidReference} for the reason `Tag`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseTag = (input: string): Effect.Effect<Tag, InvalidReference> =>
  Parsed.toEffect(parseTagOf(input, input))

/**
 * Returns the tag that a text is, for one that is written in the source. Throws what
 * {@link parseTag} fails with.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsafeParseTag = (input: string): Tag => Parsed.orThrow(parseTagOf(input, input))

/**
 * Returns whether a value is the name of a repository, of at most 255 characters: {@link
 * parseRepositoryName} as a guard.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRepositoryName = (u: unknown): u is RepositoryName =>
  typeof u === "string" &&
  u.length <= maxNameLength &&
  u.split("/").every((component) => nameComponent.test(component))

/**
 * Returns whether a value is a tag: {@link parseTag} as a guard.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTag = (u: unknown): u is Tag => typeof u === "string" && tagGrammar.test(u)

/**
 * Returns whether a tag has the form of those under which clients list the referrers of a manifest
 * where the registry does not ([Referrers Tag
 * Schema](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema)):
 * `sha256-` and 64 hexadecimal digits, or the same with another registered algorithm, whose digits
 * are cut at 64. What lists tags for people leaves them out.
 *
 * @since 0.1.0
 * @category guards
 */
export const isReferrersTag = (tag: string): tag is Tag =>
  /^(?:sha256|sha512|blake3)-[a-f0-9]{64}$/.test(tag)

/**
 * Returns the tag under which clients list the referrers of a manifest where the registry does not
 * ([Referrers Tag
 * Schema](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema)):
 * the algorithm of the digest cut at 32 characters, and the rest at 64, with `-` for what a tag
 * cannot hold.
 *
 * @since 0.1.0
 * @category getters
 */
export const referrersTag = (subject: Digest.Digest): Tag =>
  // What an algorithm may begin with, a tag may begin with as well (C79).
  `${Digest.algorithm(subject).slice(0, 32)}-${Digest.encoded(subject).slice(0, 64)}`.replace(
    /[^a-zA-Z0-9._-]/g,
    "-"
  ) as Tag

/**
 * The name of a repository as a string. `RepositoryName.make` returns a string as one, and throws
 * `ParseError` where it is not one.
 *
 * @since 0.1.0
 * @category schemas
 */
export const RepositoryName: Schema.refine<
  RepositoryName,
  Schema.Schema<string>
> = Schema.String.pipe(
  Schema.filter((text: string): text is RepositoryName => isRepositoryName(text), {
    identifier: "RepositoryName",
    description: "a repository name",
    arbitrary: () => (fc) =>
      fc
        .array(fc.stringMatching(/^[a-z0-9]{1,8}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}$/), {
          minLength: 1,
          maxLength: 4
        })
        .map((components) => components.join("/") as RepositoryName)
  })
)

/**
 * A tag as a string. `Tag.make` returns a string as one, and throws `ParseError`
 * where it is not one.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Tag: Schema.refine<Tag, Schema.Schema<string>> = Schema.String.pipe(
  Schema.filter((text: string): text is Tag => isTag(text), {
    identifier: "Tag",
    description: "a tag",
    arbitrary: () => (fc) => fc.stringMatching(tagGrammar).map((text) => text as Tag)
  })
)

/**
 * A reference from the string that {@link parse} accepts, to the string that {@link format} makes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FromString: Schema.Schema<Reference, string> = Schema.suspend(() =>
  Schema.transformOrFail(Schema.String, Value, {
    strict: true,
    decode: Parsed.decode((input) => parsed(input)),
    encode: (reference) => ParseResult.succeed(format(reference))
  })
).annotations({ identifier: "Reference" })

/**
 * Returns the canonical text, always with its host: parsing it gives the same reference.
 *
 * @since 0.1.0
 * @category getters
 */
export const format = (reference: Reference): string => {
  const tag = Option.match(reference.tag, { onNone: () => "", onSome: (value) => `:${value}` })
  const digest = Option.match(reference.digest, {
    onNone: () => "",
    onSome: (value) => `@${value}`
  })
  return `${reference.host}/${reference.repository}${tag}${digest}`
}

/**
 * Returns what to ask the registry for: the digest if there is one, else the tag, else `latest`.
 *
 * @since 0.1.0
 * @category getters
 */
export const tagOrDigest = (reference: Reference): Tag | Digest.Digest =>
  Option.getOrElse(
    Option.orElse(reference.digest, () => reference.tag),
    () => latest
  )

/**
 * Returns the same repository, pinned to a digest: `name@digest`. A tag is dropped, since it no
 * longer decides anything and several tools refuse a reference that has both.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDigest: {
  (digest: Digest.Digest): (self: Reference) => Reference
  (self: Reference, digest: Digest.Digest): Reference
} = dual(
  2,
  (self: Reference, digest: Digest.Digest): Reference =>
    valueOf({ ...self, tag: Option.none(), digest: Option.some(digest) })
)

/**
 * Returns the same repository with a tag: `name:tag`. A digest is dropped, since it would decide in
 * place of the tag.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withTag: {
  (tag: Tag): (self: Reference) => Reference
  (self: Reference, tag: Tag): Reference
} = dual(
  2,
  (self: Reference, tag: Tag): Reference =>
    valueOf({ ...self, tag: Option.some(tag), digest: Option.none() })
)

/**
 * Returns the reference without its tag. A digest is kept.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutTag = (self: Reference): Reference => valueOf({ ...self, tag: Option.none() })

const latest = "latest" as Tag
const example = `expected something like "ghcr.io/owner/name:tag"`

/** Host, slash and repository (C11). Registries and file systems refuse longer ones. */
const maxNameLength = 255
/** Room for the longest name, tag and digest; nothing longer is looked at (T16). */
const maxReferenceLength = 1024

const nameComponent = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const tagGrammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/ // C12
const hostLabel = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$/

const isHostLike = (text: string): boolean =>
  text.includes(".") || text.includes(":") || text === "localhost" || text !== text.toLowerCase()

/** Whether a text has the form that references allow: names have no underscores in them. */
const isHost = (text: string): boolean => {
  const name = text.replace(/:[0-9]{1,5}$/, "")
  return (
    Option.isSome(Host.fromString(text)) &&
    (name.startsWith("[") || name.split(".").every((label) => hostLabel.test(label)))
  )
}

const parsed = (input: string): Either.Either<Reference, InvalidReference> =>
  Either.gen(function* () {
    if (input === "") return yield* invalid(input, "Empty", `a reference is empty; ${example}`)
    if (input.length > maxReferenceLength) {
      return yield* invalid(
        input,
        "TooLong",
        `a reference has at most ${maxReferenceLength} characters`
      )
    }
    if (input.includes("://")) {
      return yield* invalid(
        input,
        "Scheme",
        `a reference is not a URL: leave out the scheme; ${example}`
      )
    }
    const at = input.indexOf("@")
    const name = at === -1 ? input : input.slice(0, at)
    if (at !== -1 && input.includes("/", at)) {
      return yield* invalid(
        input,
        "Host",
        "a reference has no user information: leave out everything up to the @"
      )
    }
    const digest = at === -1 ? undefined : yield* parseDigest(input, input.slice(at + 1))

    const slash = name.indexOf("/")
    const explicitHost = slash !== -1 && isHostLike(name.slice(0, slash))
    const host = explicitHost ? yield* parseHost(input, name.slice(0, slash)) : Host.dockerHub
    const path = explicitHost ? name.slice(slash + 1) : name

    const colon = path.indexOf(":")
    const tag = colon === -1 ? undefined : yield* parseTagOf(input, path.slice(colon + 1))
    const written = yield* parseName(input, colon === -1 ? path : path.slice(0, colon))
    return yield* assemble(input, host, written, tag, digest)
  })

/** The canonical reference of parts that are valid each, of which `input` is what was written. */
const assemble = (
  input: string,
  host: string,
  name: RepositoryName,
  tag: Tag | undefined,
  digest: Digest.Digest | undefined
): Either.Either<Reference, InvalidReference> => {
  const repository =
    host === Host.dockerHub && !name.includes("/") ? (`library/${name}` as RepositoryName) : name
  if (host.length + 1 + repository.length > maxNameLength) {
    const message = `host and repository have more than ${maxNameLength} characters together`
    return invalid(input, "TooLong", message)
  }
  return Either.right(
    valueOf({
      host,
      repository,
      tag: Option.fromNullable(tag),
      digest: Option.fromNullable(digest)
    })
  )
}

const parseHost = (input: string, text: string): Either.Either<string, InvalidReference> => {
  if (text.length > maxNameLength || !isHost(text)) {
    const expected = 'expected something like "ghcr.io", "localhost:5000" or "[::1]:5000"'
    return invalid(input, "Host", `${ServerText.escaped(text)} is not a host; ${expected}`)
  }
  // A host that only its capitals or its port mark as one must keep them, or its canonical text
  // would be a Docker Hub name.
  const lower = text.toLowerCase()
  const canonical = Option.getOrElse(Host.fromString(text), () => lower)
  return Either.right(isHostLike(canonical) ? canonical : isHostLike(lower) ? lower : text)
}

/** A host in front of a repository must be told from a part of its name. */
const writtenHost = (input: string, text: string): Either.Either<string, InvalidReference> => {
  if (isHostLike(text) || !isHost(text)) return parseHost(input, text)
  const what = `the host ${ServerText.escaped(text)} has neither a dot nor a port`
  return invalid(
    input,
    "Host",
    `${what}, so that a reference would take it for a part of the repository's name; ` +
      `write its port, such as ${ServerText.escaped(`${text}:443`)}`
  )
}

const parseName = (
  input: string,
  text: string
): Either.Either<RepositoryName, InvalidReference> => {
  if (isRepositoryName(text)) return Either.right(text)
  if (text.length > maxNameLength) {
    return invalid(input, "Repository", `a repository name has at most ${maxNameLength} characters`)
  }
  const wrong = text.split("/").find((component) => !nameComponent.test(component)) ?? ""
  const what =
    wrong === "" ? "has an empty component" : `has the component ${ServerText.escaped(wrong)}`
  const rule =
    'components are lower-case letters and digits, separated by ".", "_", "__" or dashes, ' +
    'such as "owner/name"'
  return invalid(
    input,
    "Repository",
    `repository name ${ServerText.escaped(text)} ${what}; ${rule}`
  )
}

const parseTagOf = (input: string, text: string): Either.Either<Tag, InvalidReference> =>
  isTag(text)
    ? Either.right(text)
    : invalid(
        input,
        "Tag",
        `${ServerText.escaped(text)} is not a tag; ` +
          'expected at most 128 letters, digits, "_", "." and "-", not starting with "." or "-"'
      )

const parseDigest = (input: string, text: string): Either.Either<Digest.Digest, InvalidReference> =>
  Either.orElse(Digest.parsed(text), ({ message }) => invalid(input, "Digest", message))

const invalid = (
  input: string,
  reason: InvalidReference["reason"],
  message: string
): Either.Either<never, InvalidReference> =>
  Either.left(new InvalidReference({ input: withoutUser(input).slice(0, 128), reason, message }))

/**
 * A password in front of the host must not reach an error (T13). An @ with a slash behind it is
 * never a digest's.
 */
const withoutUser = (input: string): string => {
  const scheme = input.indexOf("://")
  const start = scheme === -1 ? 0 : scheme + 3
  const at = input.lastIndexOf("@", input.lastIndexOf("/"))
  return at < start ? input : `${input.slice(0, start)}***${input.slice(at)}`
}

const valueOf = Values.maker<Reference>({
  id: Symbol.for("effect-oci/Reference"),
  key: format,
  text: format,
  json: format
})

const isReference = Schema.is(
  Schema.typeSchema(
    Schema.Struct({
      host: Schema.String.pipe(Schema.filter((text) => isHost(text))),
      repository: RepositoryName,
      tag: Schema.OptionFromSelf(Tag),
      digest: Schema.OptionFromSelf(Digest.Digest)
    })
  )
)

const Value = Schema.declare((u: unknown): u is Reference => isReference(u), {
  identifier: "Reference",
  description: "a reference",
  equivalence: () => (self, that) => format(self) === format(that),
  arbitrary: () => (fc) =>
    fc
      .tuple(
        fc.constantFrom(Host.dockerHub, "ghcr.io", "localhost:5000", "[::1]:5000"),
        fc.stringMatching(/^[a-z0-9]{1,8}\/[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8})?$/),
        fc.option(fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/)),
        fc.option(fc.uint8Array())
      )
      .map(([host, repository, tag, content]) =>
        make({
          host,
          repository: RepositoryName.make(repository),
          ...(tag !== null && { tag: Tag.make(tag) }),
          ...(content !== null && { digest: Digest.fromBytes(content) })
        })
      )
})
