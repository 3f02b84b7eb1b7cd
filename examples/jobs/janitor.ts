import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Prune from "effect-oci/Prune"

/**
 * Deletes old images, and prints what it does: builds of pull requests after 30 days, and all
 * releases but for the newest ten. What indexes, other tags and referrers need stays. Without
 * `dryRun: false` it deletes nothing.
 */
export const cleanUp = (repository: string, options: Prune.RunOptions = {}) =>
  Effect.gen(function* () {
    const policy: Prune.Policy = {
      protect: [{ include: ["latest", "stable"] }],
      rules: [
        { include: ["pr-*"], olderThan: "30 days" },
        { semver: "*", keep: 10 }
      ]
    }
    const done = yield* Prune.run(repository, policy, options)
    yield* Console.log(Prune.format(done))
    return done
  })
