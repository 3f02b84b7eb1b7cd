import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Copy from "effect-oci/Copy"

const Line = Schema.parseJson(Copy.Step)

/** Writes what a copy would do to a file, a step a line: nothing is copied. */
export const write = (from: string, to: string, path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Copy.plan(from, to).pipe(
      Stream.mapEffect(Schema.encode(Line)),
      Stream.map((line) => `${line}\n`),
      Stream.encodeText,
      Stream.run(fs.sink(path))
    )
  )

/** Does what such a file says, in another process or on another day. */
export const run = (from: string, to: string, path: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const steps = yield* fs
      .stream(path)
      .pipe(
        Stream.decodeText(),
        Stream.splitLines,
        Stream.mapEffect(Schema.decode(Line)),
        Stream.runCollect
      )
    return yield* Copy.run(from, to, steps)
  })
