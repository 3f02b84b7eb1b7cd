/**
 * The `Warning` field, with which a registry tells its users something, such as a deprecation
 * (C106): `299 - "text"`. For people only: nothing may act on it.
 */
import { identity } from "effect/Function"
import * as ServerText from "../../spec/internal/ServerText.js"
import * as FieldValue from "./FieldValue.js"
import type { Redact } from "./RedactedText.js"

const maxLength = 4096

/**
 * Returns the texts of the warnings that are the registry's own, which are those of the form
 * `299 - "text"`: what could be understood of the first 4,096 bytes, since a registry may not send
 * more (a field value has one byte per character). Caches and proxies on the way send others. Texts
 * are redacted and free of control and bidirectional characters; empty ones are left out.
 */
export const parse = (header: string, redact: Redact = identity): ReadonlyArray<string> => {
  const input = header.slice(0, FieldValue.maxLength)
  const texts: Array<string> = []
  let at = FieldValue.skip(input, 0, FieldValue.isSeparator)
  while (at < Math.min(input.length, maxLength)) {
    const code = FieldValue.skip(input, at, (character) => character >= "0" && character <= "9")
    const agent = FieldValue.skip(input, code, FieldValue.isSpace)
    const agentEnd = FieldValue.skip(input, agent, (character) => !' \t,"'.includes(character))
    const start = FieldValue.skip(input, agentEnd, FieldValue.isSpace)
    if (code - at === 3 && agent > code && start > agentEnd && input.charAt(start) === '"') {
      const quoted = FieldValue.value(input, start, "")
      const text = ServerText.plain(redact(quoted.value), maxLength - start - 1)
      const isOwn = input.slice(at, code) === "299" && input.slice(agent, agentEnd) === "-"
      if (isOwn && text !== "") texts.push(text)
      at = quoted.next
    }
    at = FieldValue.skip(input, at, (character) => character !== ",")
    at = FieldValue.skip(input, at, FieldValue.isSeparator)
  }
  return texts
}

/**
 * Returns the field value that a server sends for these texts, at most 4,096 bytes (R42): texts are
 * cut at 2,000 characters, and those that no longer fit are left out. All but printable ASCII is
 * dropped. Empty when there is nothing to send.
 */
export const format = (texts: Iterable<string>): string => {
  let header = ""
  for (const text of texts) {
    const element = `${header === "" ? "" : ", "}299 - ${FieldValue.quote(text.slice(0, 2000))}`
    if (header.length + element.length <= maxLength) header += element
  }
  return header
}
