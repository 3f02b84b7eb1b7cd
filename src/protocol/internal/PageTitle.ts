/** The titles of HTML pages that come instead of what a registry responds with. */
import * as ServerText from "../../spec/internal/ServerText.js"
import type { Redact } from "./RedactedText.js"

/**
 * Returns the title of a page, or the beginning of its text if its first 64 KiB have none, in at
 * most 128 characters and without secrets.
 */
export const of = (body: Uint8Array, redact: Redact): string => {
  const text = new TextDecoder().decode(body.subarray(0, 65_536))
  const [, title = visible(text)] = /<title[^<>]{0,256}>([^<]{1,1024})/i.exec(text) ?? []
  return ServerText.plain(
    redact(title)
      .replace(/&(lt|gt|quot|apos|amp|nbsp|#39);/g, (entity, key: string) => named[key] ?? entity)
      .replace(/\s+/g, " ")
      .replaceAll('"', "'"),
    128
  )
}

/** The beginning of a page without its tags. */
const visible = (text: string): string => text.slice(0, 4096).replace(/<[^<>]{0,512}>/g, " ")

/** Whether a body begins as HTML does. */
export const isHtml = (body: Uint8Array): boolean =>
  /^\s{0,32}<(!doctype html|html)/i.test(new TextDecoder().decode(body.subarray(0, 64)))

const named: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  amp: "&",
  nbsp: " ",
  "#39": "'"
}
