/** A host in options, or one that is asked for, which is not valid. */
import { InvalidUrl } from "../RegistryError.js"
import type * as Host from "../spec/Host.js"
import * as ServerText from "../spec/internal/ServerText.js"

/** Makes the failure for a host, which `what` names as the subject of a sentence. */
export const invalidHost =
  (what: string) =>
  ({ input, problem }: Host.InvalidHost): InvalidUrl =>
    new InvalidUrl({ url: ServerText.plain(input, 128), problem: `${what} ${problem}` })
