/**
 * What Docker's `daemon.json` says of registries: [mirrors of Docker Hub and insecure
 * registries](https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file).
 */
import * as Option from "effect/Option"
import ipaddr from "ipaddr.js"
import * as Host from "../../../spec/Host.js"
import * as ServerText from "../../../spec/internal/ServerText.js"
import type { MachineRegistries, Setting, Skipped } from "./Rules.js"

/** What Docker's file says. */
export type Docker = Pick<MachineRegistries, "hubMirrors" | "insecure" | "skipped">

/** Reads a decoded file. An entry that cannot be used is skipped, and all others hold (V32). */
export const parse = (source: string, document: Readonly<Record<string, unknown>>): Docker => {
  const skipped: Array<Skipped> = []
  const list = (
    entry: string,
    parse: (text: string) => string | undefined,
    expected: string
  ): ReadonlyArray<Setting> => {
    const items = document[entry] ?? []
    if (!Array.isArray(items)) {
      skipped.push({ source, entry, problem: "it is not a list" })
      return []
    }
    return items.flatMap((item: unknown) => {
      const value = typeof item === "string" ? parse(item.trim()) : undefined
      if (value !== undefined) return [{ source, value }]
      // A mirror's URL may hold a password (T13).
      const shown = ServerText.quoted(String(item).replace(/\/\/.*@/s, "//"))
      skipped.push({ source, entry, problem: `${shown} is not ${expected}` })
      return []
    })
  }
  return {
    hubMirrors: list("registry-mirrors", mirrorOf, "a URL such as https://mirror.example.com"),
    insecure: list(
      "insecure-registries",
      insecureOf,
      "a host such as registry.lan:5000, or a range such as 10.0.0.0/8"
    ),
    skipped
  }
}

/** A path is allowed: the mirror's `/v2/` is below it. */
const mirrorOf = (text: string): string | undefined => {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text) || text.includes("@")) return undefined
  const url = new URL(text)
  return url.search === "" && url.hash === "" ? url.href.replace(/\/+$/, "") : undefined
}

const insecureOf = (text: string): string | undefined =>
  ipaddr.isValidCIDR(text)
    ? text
    : Option.getOrUndefined(
        Host.fromString(text.replace(/^https?:\/\//i, "").replace(/\/+$/, ""), "https")
      )
