import { readFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { describe, expect, it } from "vitest"

/** The modules of other packages that a program loads which imports these of ours. */
const loadedBy = (entries: ReadonlyArray<string>): ReadonlyArray<string> => {
  const visited = new Set<string>()
  const others = new Set<string>()
  const visit = (file: string): void => {
    if (visited.has(file)) return
    visited.add(file)
    const code = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "")
    const imports = code.matchAll(/^(?:import|export) (?!type\b)(?:[^"';=]*? from )?"([^"]+)"$/gm)
    for (const [, module = ""] of imports) {
      if (module.startsWith(".")) visit(resolve(dirname(file), module.replace(/\.js$/, ".ts")))
      else others.add(module)
    }
  }
  for (const entry of entries) visit(resolve("src", entry))
  return [...others].filter((module) => !module.startsWith("node:")).sort()
}

describe("a program that resolves a tag", () => {
  it("loads no other modules than these, which are most of its start", () => {
    expect(
      loadedBy(["node/index.ts", "auth/Credentials.ts", "spec/Reference.ts", "Registry.ts"])
    ).toEqual([
      "@effect/platform-node/NodeCommandExecutor",
      "@effect/platform-node/NodeFileSystem",
      "@effect/platform-node/NodeHttpClient",
      "@effect/platform-node/NodePath",
      "@effect/platform-node/Undici",
      "@effect/platform/Command",
      "@effect/platform/CommandExecutor",
      "@effect/platform/Cookies",
      "@effect/platform/FetchHttpClient",
      "@effect/platform/FileSystem",
      "@effect/platform/Headers",
      "@effect/platform/HttpBody",
      "@effect/platform/HttpClient",
      "@effect/platform/HttpClientError",
      "@effect/platform/HttpClientRequest",
      "@effect/platform/HttpClientResponse",
      "@effect/platform/HttpIncomingMessage",
      "@effect/platform/HttpTraceContext",
      "@effect/platform/KeyValueStore",
      "@effect/platform/Path",
      "@effect/platform/UrlParams",
      "effect/Array",
      "effect/Cause",
      "effect/Chunk",
      "effect/Clock",
      "effect/Config",
      "effect/ConfigError",
      "effect/Context",
      "effect/Data",
      "effect/DefaultServices",
      "effect/Deferred",
      "effect/Duration",
      "effect/Effect",
      "effect/Either",
      "effect/Encoding",
      "effect/Equal",
      "effect/ExecutionStrategy",
      "effect/Exit",
      "effect/Fiber",
      "effect/FiberId",
      "effect/FiberRef",
      "effect/Function",
      "effect/Hash",
      "effect/Inspectable",
      "effect/Layer",
      "effect/LogLevel",
      "effect/Metric",
      "effect/MetricBoundaries",
      "effect/MetricLabel",
      "effect/Option",
      "effect/ParseResult",
      "effect/Pipeable",
      "effect/Predicate",
      "effect/Queue",
      "effect/Random",
      "effect/Redacted",
      "effect/Schedule",
      "effect/Schema",
      "effect/SchemaAST",
      "effect/Scope",
      "effect/ScopedRef",
      "effect/Sink",
      "effect/Stream",
      "effect/String",
      "effect/Tracer",
      "ipaddr.js"
    ])
  })
})
