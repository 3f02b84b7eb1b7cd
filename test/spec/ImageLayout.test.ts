import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ImageLayout from "../../src/spec/ImageLayout.js"

const decode = Schema.decodeUnknown(ImageLayout.ImageLayout)

it.effect("an image layout has the one version that there is, and what else it says", () =>
  Effect.gen(function* () {
    expect(yield* decode({ imageLayoutVersion: "1.0.0" })).toEqual(ImageLayout.current)
    const more = { imageLayoutVersion: "1.0.0", "org.example": [1] }
    expect(yield* Schema.encode(ImageLayout.ImageLayout)(yield* decode(more))).toEqual(more)
    for (const bad of [{}, { imageLayoutVersion: "1.1.0" }, { imageLayoutVersion: 1 }, null])
      expect((yield* Effect.flip(decode(bad)))._tag).toBe("ParseError")
  })
)
