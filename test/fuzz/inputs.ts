/** Hostile text, made from valid text: the same for the same seed. */

/** Numbers from 0 to below 1 (mulberry32). */
export const generator = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/**
 * What parsers stumble over, each with how often it may be repeated at most: inputs stay below 64
 * Ki characters.
 */
const tokens: ReadonlyArray<string> = [
  ..."\"\\'=,;:<>/@?#&%*-_.+[]{}() \t\r\n\0~!$^|`",
  ...[
    "0",
    "9",
    "a",
    "Z",
    "é",
    "\u00ff",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ud800",
    "\udc00",
    "😀",
    "ﬀ",
    "İ"
  ],
  ...[
    "//",
    "/..",
    "/./",
    "%2e%2e",
    "%00",
    "%",
    "\\u0000",
    "\r\n\r\n",
    "/v2/",
    "/blobs/",
    "/manifests/",
    "://",
    "@:",
    "[::1]"
  ],
  ...[
    "null",
    "true",
    "[]",
    "{}",
    '""',
    "[[",
    '{"a":',
    "[{",
    '"errors":[',
    '"__proto__":',
    '"constructor":',
    "__proto__"
  ],
  ...[
    "-1",
    "1e308",
    "9007199254740993",
    "99999999999999999999",
    "0x7f.1",
    "NaN",
    "Infinity",
    "00",
    "1.5"
  ],
  ...[
    "sha256:",
    "sha512:",
    "bytes ",
    "bytes=",
    "Bearer ",
    "Basic ",
    'realm="',
    'rel="next"',
    "299 - ",
    "repository:"
  ],
  ...[
    "<Error>",
    "<Code>",
    "</Code>",
    "<![CDATA[",
    "<!--",
    "application/vnd.oci.image.index.v1+json",
    "aaaa-",
    "a.",
    "a__"
  ]
]

const longest = 64 * 1024

/** What stands in JSON where something else is expected. */
const odd: ReadonlyArray<() => unknown> = [
  () => null,
  () => true,
  () => 0,
  () => -1,
  () => 1.5,
  () => 1e308,
  () => Number.MAX_SAFE_INTEGER + 1,
  () => "",
  () => [],
  () => ({}),
  () => JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"toString":null}')
]

interface Random {
  readonly below: (limit: number) => number
  readonly pick: (from: ReadonlyArray<string>) => string
}

/**
 * Changes one value of a JSON document and leaves the rest as it is: what comes after it is still
 * read.
 */
const mutateJson = (
  text: string,
  { below, pick }: Random,
  mutateText: (text: string) => string
): string => {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return text
  }
  const places: Array<readonly [holder: Record<string, unknown> | Array<unknown>, key: string]> = []
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null || places.length > 1000) return
    const holder = value as Record<string, unknown> | Array<unknown>
    for (const key of Object.keys(holder)) {
      places.push([holder, key])
      visit(Reflect.get(holder, key))
    }
  }
  visit([document])
  const place = places[below(places.length)]
  if (place === undefined) return JSON.stringify(odd[below(odd.length)]?.())
  const [holder, key] = place
  const value: unknown = Reflect.get(holder, key)
  const set = (key: string, value: unknown) =>
    Object.defineProperty(holder, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true
    })
  switch (below(8)) {
    case 0:
      Reflect.deleteProperty(holder, key)
      break
    case 1:
      set(key, odd[below(odd.length)]?.())
      break
    case 2:
      set(key, typeof value === "string" ? mutateText(value) : JSON.stringify(value))
      break
    case 3:
      set(mutateText(key).slice(0, 64), value)
      break
    case 4:
      set(key, Array(below(50)).fill(value))
      break
    case 5: {
      let nested = value
      for (let depth = below(200); depth > 0; depth--)
        nested = below(2) === 0 ? [nested] : { a: nested }
      set(key, nested)
      break
    }
    case 6: {
      const [other, otherKey] = places[below(places.length)] ?? place
      set(key, Reflect.get(other, otherKey))
      break
    }
    default:
      set(pick(tokens), value)
  }
  try {
    return JSON.stringify(document)
  } catch {
    return text // It holds itself now.
  }
}

/**
 * Changes the parts between the separators of a header, a path or a reference: drops one, repeats
 * one, swaps two, puts one of another text there.
 */
const mutateParts = (text: string, other: string, below: Random["below"]): string => {
  const split = (text: string) => text.split(/([,;=:/?&"\s@]+)/)
  const parts = split(text)
  const [at, to] = [below(parts.length), below(parts.length)]
  const theirs = split(other)
  switch (below(5)) {
    case 0:
      parts.splice(at, 1)
      break
    case 1:
      parts.splice(at, 0, ...parts.slice(at, at + 1 + below(4)))
      break
    case 2:
      ;[parts[at], parts[to]] = [parts[to] ?? "", parts[at] ?? ""]
      break
    case 3:
      parts[at] = theirs[below(theirs.length)] ?? ""
      break
    default:
      parts.splice(at, parts.length, ...theirs.slice(below(theirs.length)))
  }
  return parts.join("")
}

/** An endless supply of inputs: seeds, mutants of mutants, and noise. */
export const inputs = (seeds: ReadonlyArray<string>, seed: number): (() => string) => {
  const random = generator(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const pick = (from: ReadonlyArray<string>): string => from[below(from.length)] ?? ""
  const noise = () =>
    String.fromCharCode(
      ...Array.from({ length: below(24) }, () => below(random() < 0.8 ? 0x80 : 0x10000))
    )

  const mutateText = (text: string): string => {
    const [at, to] = [below(text.length + 1), below(text.length + 1)].sort((a, b) => a - b) as [
      number,
      number
    ]
    const [before, middle, after] = [text.slice(0, at), text.slice(at, to), text.slice(to)]
    switch (below(9)) {
      case 0:
        return before + after
      case 1:
        return before + pick(tokens) + middle + after
      case 2:
        return before + pick(tokens) + after
      case 3:
        return before + middle + middle + after
      case 4:
        return before + noise() + middle + after
      case 5:
        return pick(seeds).slice(0, below(200)) + middle + after
      case 6:
        return (
          before + String.fromCharCode(text.charCodeAt(at) ^ (1 << below(8))) + text.slice(at + 1)
        )
      case 7:
        return before + middle.toUpperCase() + after
      default:
        return text.split("").reverse().join("")
    }
  }

  const mutate = (text: string): string => {
    const kind = random()
    // A document that still parses gets further than one that does not.
    if (kind < 0.6 && /^\s*[[{]/.test(text)) return mutateJson(text, { below, pick }, mutateText)
    return kind < 0.75 ? mutateParts(text, pick(seeds), below) : mutateText(text)
  }

  let last = ""
  return () => {
    const kind = random()
    let text = kind < 0.3 ? last : kind < 0.9 ? pick(seeds) : noise()
    for (let left = 1 + below(4); left > 0; left--) text = mutate(text)
    // Few inputs are long; they are what takes longer than linear time.
    if (kind > 0.2 && kind < 0.203) {
      const unit = random() < 0.5 ? pick(tokens) : text
      const at = below(text.length + 1)
      text =
        text.slice(0, at) +
        unit.repeat(below(Math.ceil(longest / Math.max(1, unit.length)))) +
        text.slice(at)
    }
    last = text.length > 2000 ? "" : text
    return text.slice(0, longest)
  }
}
