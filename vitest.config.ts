import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

// Tests and examples import the package by its own name; this condition resolves it to the sources.
const conditions = ["@effect-oci/source"]

/** Files that count what a whole process has come first, before others leave things in theirs. */
class Sequencer extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    const counts = ({ moduleId }: TestSpecification) => moduleId.endsWith("/test/soak.test.ts")
    return [...sorted.filter(counts), ...sorted.filter((file) => !counts(file))]
  }
}

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    // Other people's machines are busy: a limit only ends what hangs.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A process for each file would take a third of all the time to start. What files share they
    // leave as they found it, and no file mocks a module.
    isolate: false,
    sequence: { sequencer: Sequencer },
    setupFiles: ["test/support/setup.ts"],
    diff: { maxDepth: 8 },
    typecheck: {
      enabled: true,
      // As strict as the version that npm run check has, and takes a fifth of its time.
      checker: "./node_modules/typescript-7/bin/tsc",
      include: ["test/**/*.test-d.ts"],
      tsconfig: "test/tsconfig.types.json"
    }
  }
})
