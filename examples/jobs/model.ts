import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { ArtifactFolder } from "effect-oci/node"
import { isTransient } from "effect-oci/RegistryError"
import * as Transfer from "effect-oci/Transfer"

/** Pulls a model to a folder, after a drop from the byte where it stopped, and streams how far. */
export const download = (model: string, folder: string) =>
  ArtifactFolder.pull(model, folder).pipe(
    Effect.retry({ while: isTransient, times: 10, schedule: Schedule.exponential("1 second") }),
    Transfer.events,
    Stream.filter((event) => event._tag === "Bytes")
  )
