/**
 * The members of JSON objects that Go programs write and read: their names are compared without
 * case, a `null` is as good as no member, and of two members with one name the later counts.
 */

/**
 * The members of a JSON object that have one of `names`, under the names as they are given. Two
 * objects under one name become one. Anything but an object is returned as it is.
 */
export const members = (json: unknown, names: ReadonlyArray<string>): unknown => {
  if (!isObject(json)) return json
  const found: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(json)) {
    const name = names.find((known) => isNamed(key, known))
    if (name === undefined || value === null) continue
    const earlier = found[name]
    found[name] = isObject(earlier) && isObject(value) ? { ...earlier, ...value } : value
  }
  return found
}

/** Whether a member has this name. */
export const isNamed = (key: string, name: string): boolean =>
  key.toLowerCase() === name.toLowerCase()

const isObject = (json: unknown): json is Readonly<Record<string, unknown>> =>
  typeof json === "object" && json !== null && !Array.isArray(json)
