/**
 * The `Warning` field, with which a registry tells its users something, such as a deprecation
 * (C106): `299 - "text"`. For people only: nothing may act on it.
 */
import * as FieldValue from "./FieldValue.js"

/**
 * One warning. The specification has `code` 299 and `agent` `-`; `text` is free of control and
 * bidirectional characters.
 */
export interface Warning {
  readonly code: number
  readonly agent: string
  readonly text: string
}

const maxLength = 4096

/**
 * The warnings of a field value, in order: what could be understood of its first 4,096 bytes, since
 * a registry may not send more (a field value has one byte per character). Empty texts are left
 * out; dates, which the specification forbids, are passed over.
 */
export const parse = (header: string): ReadonlyArray<Warning> => {
  const input = header.slice(0, maxLength)
  const warnings: Array<Warning> = []
  let at = FieldValue.skip(input, 0, FieldValue.isSeparator)
  while (at < input.length) {
    const code = FieldValue.skip(input, at, (character) => character >= "0" && character <= "9")
    const agent = FieldValue.skip(input, code, FieldValue.isSpace)
    const agentEnd = FieldValue.skip(input, agent, (character) => !' \t,"'.includes(character))
    const start = FieldValue.skip(input, agentEnd, FieldValue.isSpace)
    if (code - at === 3 && agent > code && start > agentEnd && input.charAt(start) === '"') {
      const quoted = FieldValue.value(input, start, "")
      const text = FieldValue.plain(quoted.value, maxLength)
      const warning = {
        code: Number(input.slice(at, code)),
        agent: FieldValue.plain(input.slice(agent, agentEnd), 255)
      }
      if (text !== "") warnings.push({ ...warning, text })
      at = quoted.next
    }
    at = FieldValue.skip(input, at, (character) => character !== ",")
    at = FieldValue.skip(input, at, FieldValue.isSeparator)
  }
  return warnings
}

/**
 * The field value that a server sends for these texts, at most 4,096 bytes (R42): texts are cut at
 * 2,000 characters, and those that no longer fit are left out. All but printable ASCII is dropped.
 * Empty when there is nothing to send.
 */
export const format = (texts: Iterable<string>): string => {
  let header = ""
  for (const text of texts) {
    const element = `${header === "" ? "" : ", "}299 - ${FieldValue.quote(text.slice(0, 2000))}`
    if (header.length + element.length <= maxLength) header += element
  }
  return header
}
