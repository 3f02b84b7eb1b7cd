import { defineConfig } from "vitest/config"

// Tests and examples import the package by its own name; this condition resolves it to the sources.
const conditions = ["@effect-oci/source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    testTimeout: 30_000,
    isolate: false,
    setupFiles: ["test/support/setup.ts"],
    typecheck: { enabled: true, include: ["test/**/*.test-d.ts"], tsconfig: "./tsconfig.json" }
  }
})
