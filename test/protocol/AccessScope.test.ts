import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as AccessScope from "../../src/protocol/AccessScope.js"

const resource = (type: string, name: string, ...actions: ReadonlyArray<string>) => ({
  _tag: "Resource",
  type,
  name,
  actions
})

const scope = FastCheck.oneof(
  FastCheck.tuple(
    FastCheck.constantFrom("repository", "registry", "repository(plugin)", "__proto__"),
    FastCheck.constantFrom("a", "a/b", "localhost:5000/a", "constructor"),
    FastCheck.array(FastCheck.constantFrom("pull", "push", "delete", "*"), {
      minLength: 1,
      maxLength: 4
    })
  ).map(([type, name, actions]) => `${type}:${name}:${actions.join(",")}`),
  FastCheck.constantFrom("*", "", "repository:a", "repository:a:", "::", ":a:pull", "openid")
)

const scopes = FastCheck.array(scope, { maxLength: 6 })

describe("parse", () => {
  it.each([
    [
      "repository:samalba/my-app:pull,push",
      resource("repository", "samalba/my-app", "pull", "push")
    ],
    [
      "repository:localhost:5000/app:push,pull",
      resource("repository", "localhost:5000/app", "pull", "push")
    ],
    ["repository(plugin):samalba/my-app:pull", resource("repository", "samalba/my-app", "pull")],
    ["registry:catalog:*", resource("registry", "catalog", "*")],
    ["artifact-repository:repo:pull", resource("artifact-repository", "repo", "pull")],
    ["repository:a:pull,*,push", resource("repository", "a", "*")],
    ["repository:a:pull,,pull", resource("repository", "a", "pull")]
  ])("%j is a resource (A9)", (text, expected) => {
    expect(AccessScope.parse(text)).toEqual(expected)
  })

  it.each([
    "*",
    "",
    "pull",
    "repository:a",
    "repository:a:",
    "repository:a:,",
    "repository::pull",
    ":a:pull",
    "::"
  ])("%j is opaque", (value) => {
    expect(AccessScope.parse(value)).toEqual({ _tag: "Opaque", value })
  })
})

describe("combine", () => {
  it.each([
    [["repository:b:pull"], ["repository:a:pull"], ["repository:b:pull", "repository:a:pull"]],
    [["repository:a:pull"], ["repository:a:pull,push"], ["repository:a:pull,push"]],
    [["*"], ["repository:a:pull"], ["*", "repository:a:pull"]],
    [[""], ["repository:a:pull"], ["repository:a:pull"]],
    [
      ["repository:user/image:pull"],
      ["repository:a:pull"],
      ["repository:user/image:pull", "repository:a:pull"]
    ]
  ])(
    "%j with %j required asks for %j, the challenge first (trap 66)",
    (challenge, required, expected) => {
      expect(AccessScope.combine(challenge, required)).toEqual(expected)
    }
  )
})

describe("canonical", () => {
  it.each([
    [
      ["repository:b:pull", "repository:a:push,pull"],
      ["repository:a:pull,push", "repository:b:pull"]
    ],
    [["repository:a:push", "repository:a:pull", "repository:a:push"], ["repository:a:pull,push"]],
    [["repository:a:pull", "repository:a:*"], ["repository:a:*"]],
    [["repository(plugin):a:pull", "repository:a:push"], ["repository:a:pull,push"]],
    [
      ["repository:a:pull", "registry:a:pull"],
      ["registry:a:pull", "repository:a:pull"]
    ],
    [["*", "*", ""], ["*"]],
    [
      ["repository:a", "repository:a:pull"],
      ["repository:a", "repository:a:pull"]
    ],
    [["constructor:__proto__:pull"], ["constructor:__proto__:pull"]]
  ])("%j becomes %j", (scopes, expected) => {
    expect(AccessScope.canonical(scopes)).toEqual(expected)
  })

  it.prop(
    "does not depend on order, repetition or having been applied (T14)",
    [scopes],
    ([scopes]) => {
      const once = AccessScope.canonical(scopes)
      expect(AccessScope.canonical(once)).toEqual(once)
      expect(AccessScope.canonical([...scopes, ...scopes].reverse())).toEqual(once)
    }
  )
})

describe("contains", () => {
  it.each([
    [["repository:a:pull,push"], ["repository:a:pull"], true],
    [["repository:a:pull"], ["repository:a:pull,push"], false],
    [["repository:a:pull", "repository:a:push"], ["repository:a:push,pull"], true],
    [["repository:a:*"], ["repository:a:delete"], true],
    [["repository:a:pull"], ["repository:a:*"], false],
    [["repository:a:pull"], ["repository:a/b:pull"], false],
    [["registry:a:pull"], ["repository:a:pull"], false],
    [["*"], ["repository:a:pull"], false],
    [["*"], ["*"], true],
    [["repository:a:pull"], ["repository:a"], false],
    [[], [], true],
    [[], ["repository:a:pull"], false]
  ])("%j contains %j: %s", (granted, required, expected) => {
    expect(AccessScope.contains(granted, required)).toBe(expected)
  })

  it.prop(
    "holds for the combination of two sets and each of them",
    [scopes, scopes],
    ([first, second]) => {
      const both = AccessScope.combine(first, second)
      expect(AccessScope.contains(both, first)).toBe(true)
      expect(AccessScope.contains(both, second)).toBe(true)
      expect(AccessScope.contains([...first, ...second], both)).toBe(true)
    }
  )
})

it.prop(
  "any text is read and written without a throw",
  [FastCheck.string({ unit: "binary" })],
  ([text]) => {
    expect(AccessScope.contains([text], [text])).toBe(true)
    expect(AccessScope.canonical([text]).length).toBe(text === "" ? 0 : 1)
  }
)
