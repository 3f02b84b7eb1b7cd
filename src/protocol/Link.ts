/**
 * The `Link` field ([RFC 8288](https://www.rfc-editor.org/rfc/rfc8288)), with which registries page
 * lists: `</v2/a/tags/list?last=x>; rel="next"`. Registries leave out brackets and quotes, add
 * parameters and join several links, so reading is tolerant.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as FieldValue from "./internal/FieldValue.js"

/**
 * One link. `target` is exactly as sent, relative or absolute; `rel` holds its relation types in
 * lower case. Other parameters mean nothing to a registry's client and are not kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface Link {
  readonly target: string
  readonly rel: ReadonlyArray<string>
}

/**
 * Returns the links of a field value, in order, at most 32: what could be understood of it, and an
 * empty array for nonsense or for more than 16 KiB. Accepts targets without brackets (which then
 * end at white space or a semicolon) and values without quotes. Leaves out links with an empty
 * target or a control character in it; of a repeated `rel` the first counts.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (header: string): ReadonlyArray<Link> =>
  read(header).filter(isUsable).slice(0, maxLinks)

/**
 * Returns the target of the first link whose relation is `next`, as sent, however many there are
 * before it: to be resolved against the URL of the request, and followed only as `Trust.decide`
 * allows. None when there is no such link, or none that can be understood: then this may be the
 * last page.
 *
 * @example
 * ```ts
 * import * as Link from "effect-oci/Link"
 *
 * Link.next('</v2/a/tags/list?n=2&last=b>; rel="next"')
 * // Option.some("/v2/a/tags/list?n=2&last=b")
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const next = (header: string): Option.Option<string> =>
  Option.fromNullable(read(header).find((link) => isNext(link) && isUsable(link))?.target)

/**
 * Returns whether the field value may name a next page that `next` does not find: it is longer than
 * 16 KiB, or the target is absent, empty or has a control character. What it belongs to is not the
 * last page then.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const hidesNext = (header: string): boolean =>
  header.length > FieldValue.maxLength ||
  (Option.isNone(next(header)) && read(header).some((link) => isNext(link) || isLoose(link)))

const maxLinks = 32

/** A relation without the link that it is of. */
const isLoose = ({ target }: Link): boolean => /^rel=["']?next\b/i.test(target)

const isNext = ({ rel }: Link): boolean => rel.includes("next")

const isUsable = ({ target }: Link): boolean => target !== "" && !FieldValue.hasControl(target)

// HK10; whether a target is followed is for Trust to say (T4).
const read = (header: string): ReadonlyArray<Link> => {
  if (header.length > FieldValue.maxLength) return []
  const links: Array<Link> = []
  let at = FieldValue.skip(header, 0, FieldValue.isSeparator)
  while (at < header.length) {
    const target = readTarget(header, at)
    const parameters = readParameters(header, target.next)
    links.push({
      target: target.value,
      rel: parameters.rel.split(" ").filter((type) => type !== "")
    })
    at = FieldValue.skip(header, parameters.next, FieldValue.isSeparator)
  }
  return links
}

/**
 * The field value that a server sends for these links. Characters that would end a target or that a
 * field value cannot carry are percent-encoded.
 *
 * @since 0.1.0
 * @category combinators
 */
export const format = (links: Iterable<Link>): string =>
  Array.from(
    links,
    ({ rel, target }) =>
      `<${target.replace(/[^!#-;=?-~]/gu, escape)}>` + `; rel=${FieldValue.quote(rel.join(" "))}`
  ).join(", ")

/** A surrogate without its other half has no UTF-8. */
const escape = (character: string): string =>
  encodeURIComponent(character.replace(/\p{Cs}/u, "\uFFFD"))

/**
 * `<target>`, in which commas and semicolons are ordinary; or the bare target that Cloudflare and
 * old Quay send.
 */
const readTarget = (header: string, start: number): FieldValue.Read => {
  const open = header.charAt(start) === "<" ? start + 1 : start
  if (open > start) {
    const close = FieldValue.skip(
      header,
      open,
      (character) => character !== "<" && character !== ">"
    )
    if (header.charAt(close) === ">") return { value: header.slice(open, close), next: close + 1 }
  }
  const end = FieldValue.skip(header, open, (character) => !"<>; \t".includes(character))
  const comma = header.charAt(end) !== ";" && header.charAt(end - 1) === "," ? end - 1 : end
  return { value: header.slice(open, comma), next: header.charAt(end) === ">" ? end + 1 : end }
}

const readParameters = (
  header: string,
  start: number
): { readonly rel: string; readonly next: number } => {
  let rel: string | undefined
  let at = FieldValue.skip(header, start, FieldValue.isSpace)
  while (header.charAt(at) === ";") {
    const name = FieldValue.token(header, FieldValue.skip(header, at + 1, FieldValue.isSpace))
    at = FieldValue.skip(header, name.next, FieldValue.isSpace)
    if (header.charAt(at) === "=") {
      const value = FieldValue.value(
        header,
        FieldValue.skip(header, at + 1, FieldValue.isSpace),
        ";, \t"
      )
      if (name.value.toLowerCase() === "rel")
        rel ??= value.value.toLowerCase().replace(/^'(.*)'$/, "$1")
      at = value.next
    }
    at = FieldValue.skip(header, at, (character) => !";,<".includes(character))
  }
  return { rel: rel ?? "", next: at }
}
