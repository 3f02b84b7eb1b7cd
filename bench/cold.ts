/**
 * Starting: the Node entry point and one resolved digest, or the Effect modules that it imports by
 * themselves.
 */
import type { Tasks } from "./task.js"

export const tasks: Tasks = {
  start: async (given) => {
    const { tasks } = await import("./start.js")
    await tasks["start"]?.(given)
  },
  "Effect modules": async () => {
    await Promise.all(
      (process.env["BENCH_MODULES"] ?? "").split(",").map((module) => import(module))
    )
  }
}
