/**
 * References to content in a registry, as people write them: `ghcr.io/owner/name:tag`, `ubuntu`,
 * `host:5000/a@sha256:…`. A parsed reference is canonical: it always has a host, and Docker Hub's
 * short forms are spelled out.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Digest from "./Digest.js"
import * as Host from "./Host.js"
import * as ServerText from "./internal/ServerText.js"

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
 * digest, the digest decides. `host` may have a port; it is in the form that `Host.fromString`
 * returns, such as `docker.io` for Docker Hub, but for hosts that only their capitals or their port
 * tell from the name of a repository.
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
export const parse: (input: string) => Effect.Effect<Reference, InvalidReference> =
  Effect.fnUntraced(function* (input) {
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
    const digest =
      at === -1 ? Option.none() : Option.some(yield* parseDigest(input, input.slice(at + 1)))

    const slash = name.indexOf("/")
    const explicitHost = slash !== -1 && isHostLike(name.slice(0, slash))
    const host = explicitHost ? yield* parseHost(input, name.slice(0, slash)) : Host.dockerHub
    const path = explicitHost ? name.slice(slash + 1) : name

    const colon = path.indexOf(":")
    const tag =
      colon === -1 ? Option.none() : Option.some(yield* parseTagOf(input, path.slice(colon + 1)))
    const written = yield* parseName(input, colon === -1 ? path : path.slice(0, colon))
    const repository =
      host === Host.dockerHub && !written.includes("/")
        ? (`library/${written}` as RepositoryName)
        : written
    if (host.length + 1 + repository.length > maxNameLength) {
      const message = `host and repository have more than ${maxNameLength} characters together`
      return yield* invalid(input, "TooLong", message)
    }
    return { host, repository, tag, digest }
  })

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
): Effect.Effect<RepositoryName, InvalidReference> => parseName(input, input)

/**
 * Parses a tag.
 *
 * Fails with {@link InvalidReference} for the reason `Tag`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseTag = (input: string): Effect.Effect<Tag, InvalidReference> =>
  parseTagOf(input, input)

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
 * The name of a repository as a string.
 *
 * @since 0.1.0
 * @category schemas
 */
export const RepositoryName: Schema.Schema<RepositoryName, string> = Schema.String.pipe(
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
 * A tag as a string.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Tag: Schema.Schema<Tag, string> = Schema.String.pipe(
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
export const FromString: Schema.Schema<Reference, string> = Schema.transformOrFail(
  Schema.String,
  Schema.typeSchema(
    Schema.Struct({
      host: Schema.String.pipe(Schema.filter((text) => isHost(text), { identifier: "Host" })),
      repository: RepositoryName,
      tag: Schema.OptionFromSelf(Tag),
      digest: Schema.OptionFromSelf(Digest.Digest)
    })
  ),
  {
    strict: true,
    decode: (input, _, ast) =>
      Effect.mapError(parse(input), (error) => new ParseResult.Type(ast, input, error.message)),
    encode: (reference) => ParseResult.succeed(format(reference))
  }
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
  (self: Reference, digest: Digest.Digest): Reference => ({
    host: self.host,
    repository: self.repository,
    tag: Option.none(),
    digest: Option.some(digest)
  })
)

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

const parseHost = (input: string, text: string): Effect.Effect<string, InvalidReference> => {
  if (text.length > maxNameLength || !isHost(text)) {
    const expected = 'expected something like "ghcr.io", "localhost:5000" or "[::1]:5000"'
    return invalid(input, "Host", `${ServerText.escaped(text)} is not a host; ${expected}`)
  }
  // A host that only its capitals or its port mark as one must keep them, or its canonical text
  // would be a Docker Hub name.
  const lower = text.toLowerCase()
  const canonical = Option.getOrElse(Host.fromString(text), () => lower)
  return Effect.succeed(isHostLike(canonical) ? canonical : isHostLike(lower) ? lower : text)
}

const parseName = (
  input: string,
  text: string
): Effect.Effect<RepositoryName, InvalidReference> => {
  if (isRepositoryName(text)) return Effect.succeed(text)
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

const parseTagOf = (input: string, text: string): Effect.Effect<Tag, InvalidReference> =>
  isTag(text)
    ? Effect.succeed(text)
    : invalid(
        input,
        "Tag",
        `${ServerText.escaped(text)} is not a tag; ` +
          'expected at most 128 letters, digits, "_", "." and "-", not starting with "." or "-"'
      )

const parseDigest = (input: string, text: string): Effect.Effect<Digest.Digest, InvalidReference> =>
  Effect.catchAll(Digest.parse(text), (error) => invalid(input, "Digest", error.message))

const invalid = (
  input: string,
  reason: InvalidReference["reason"],
  message: string
): Effect.Effect<never, InvalidReference> =>
  Effect.fail(new InvalidReference({ input: withoutUser(input).slice(0, 128), reason, message }))

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
