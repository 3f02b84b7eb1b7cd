/** Paths with placeholders, such as `/v2/<name>/tags/list`, filled with values that are checked. */
import * as Either from "effect/Either"
import * as Digest from "../../spec/Digest.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import { InvalidReference, isRepositoryName, isTag } from "../../spec/Reference.js"

/** The placeholders of the distribution specification. */
export type Placeholder = "name" | "reference" | "digest" | "session_id"

/** The values of placeholders, as far as they are given. */
export type Values = { readonly [P in Placeholder]?: string | undefined }

/** Why a template is not a path, in words. */
export class InvalidPath {
  readonly _tag = "InvalidPath"
  constructor(readonly problem: string) {}
}

/**
 * Returns path and query of a template with its placeholders replaced, beginning with a slash.
 * Values are used as they are, but for a session, which is escaped where a path needs it.
 */
export const fill = (
  template: string,
  values: Values
): Either.Either<string, InvalidReference | InvalidPath> =>
  Either.gen(function* () {
    let path = template.startsWith("/") ? template : `/${template}`
    for (const placeholder of placeholders)
      if (path.includes(`<${placeholder}>`)) {
        const value = yield* valueOf(placeholder, values[placeholder], template)
        path = path.replaceAll(`<${placeholder}>`, () => value)
      }
    const problem = problemOf(path)
    return yield* problem === undefined ? Either.right(path) : Either.left(new InvalidPath(problem))
  })

const placeholders: ReadonlyArray<Placeholder> = ["name", "reference", "digest", "session_id"]

/** Of each placeholder, what its values are, and the reason for which another one is refused. */
const kinds: {
  readonly [P in Placeholder]: {
    readonly reason: InvalidReference["reason"]
    readonly is: (value: string) => boolean
    readonly expected: string
  }
} = {
  name: {
    reason: "Repository",
    is: isRepositoryName,
    expected: 'the name of a repository, such as "owner/name"'
  },
  reference: {
    reason: "Tag",
    is: (value) => isTag(value) || Digest.isDigest(value),
    expected: 'a tag or a digest, such as "latest"'
  },
  digest: {
    reason: "Digest",
    is: Digest.isDigest,
    expected: 'a digest, such as "sha256:" and 64 hexadecimal digits'
  },
  session_id: {
    reason: "Repository",
    // A parser of URLs takes these two for parents, escaped as well.
    is: (value) => value !== "" && value !== "." && value !== ".." && !/\p{Cs}/u.test(value),
    expected: "the id of an upload session, as the registry gave it"
  }
}

const valueOf = (
  placeholder: Placeholder,
  value: string | undefined,
  template: string
): Either.Either<string, InvalidReference> => {
  const { expected, is, reason } = kinds[placeholder]
  const refused = (input: string, message: string) =>
    Either.left(new InvalidReference({ input: input.slice(0, 128), reason, message }))
  if (value === undefined)
    return refused(
      template,
      `the request ${ServerText.escaped(template)} needs a value for <${placeholder}>: ` +
        expected +
        (placeholder === "name" ? ", unless the client has a default name" : "")
    )
  return is(value)
    ? Either.right(placeholder === "session_id" ? encodeURIComponent(value) : value)
    : refused(value, `${ServerText.escaped(value)} is not ${expected}`)
}

const problemOf = (path: string): string | undefined => {
  const open = /<[^<>]*>/.exec(path)
  if (open !== null)
    return (
      `it has the placeholder ${ServerText.escaped(open[0], 64)}: there are <name>, <reference>, ` +
      "<digest> and <session_id>"
    )
  if (/[^!-~]|["#<>\\^`{|}]/.test(path))
    return "its path holds characters that no path can have, such as white space: escape them"
  const [before = ""] = path.split("?", 1)
  if (before.includes("//")) return "its path has an empty segment"
  const dots = before.split("/").find((segment) => /^(\.|%2e){1,2}$/i.test(segment))
  return dots === undefined
    ? undefined
    : `its path has the segment ${ServerText.escaped(dots, 8)}, which URLs do without`
}
