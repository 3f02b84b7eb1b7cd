/** Section 3, the services: what differs in the forms, the locations and the ranges of uploads. */
import * as Effect from "effect/Effect"
import { status } from "../world.js"
import { big, huge, tiny } from "./content.js"
import { type Answer, answers, breaksOff, is, losesAnswer, type Quirk, sets } from "./mock.js"
import type { Row } from "./row.js"
import {
  arrives,
  errors,
  looks,
  mebibyte,
  opens,
  put,
  single,
  streamedBig,
  upload,
  wholeBig
} from "./uploading.js"

/** The first PATCH loses its upload, of which nothing is known from then on. */
const forgets =
  (now: () => Answer, later: () => Answer): Quirk =>
  (healthy) => {
    let lost = ""
    return (seen) => {
      if (seen.url.pathname === lost) return Effect.succeed(later())
      if (lost !== "" || !is("PATCH Upload")(seen)) return healthy(seen)
      lost = seen.url.pathname
      return Effect.succeed(now())
    }
  }

export const rows: ReadonlyArray<Row> = [
  {
    at: ["§3 Docker Hub", "§3 distribution", "rule 8", "rule 9"],
    does: "keeps its state in the locations, of which only the newest counts",
    quirks: [],
    switches: { uploadState: "_state" },
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload()}?_state=1%2F+~! [100000]`,
      `PUT ${upload()}?_state=2%2F+~!&digest=big`
    ]
  },
  {
    at: ["§3 Docker Hub", "rule 10"],
    does: "refuses what is out of order with 416, and tells where it is",
    quirks: [breaksOff("PATCH Upload", 50_000)],
    run: put(big, "size"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload()} 0-99999 [100000]`,
      `GET ${upload()}`,
      `PATCH ${upload()} 50000-99999 [50000]`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["§3 GHCR", "rule 8", "rule 11"],
    does: "takes 4 MiB in a PATCH, and calls more a bad range: from then on the whole goes by PUT",
    quirks: [],
    switches: { patchLimit: 4 * mebibyte },
    run: (registry) =>
      Effect.all([
        put(huge, "size")(registry),
        put(huge, "nothing")(registry),
        put(big, "size")(registry)
      ]),
    gives: [arrives(huge), arrives(huge), arrives(big)],
    wire: [
      opens,
      `PATCH ${upload(1)} 0-12582911 [12582912]`,
      `GET ${upload(1)}`,
      `DELETE ${upload(1)}`,
      opens,
      `PUT ${upload(2)}?digest=huge [12582912]`,
      opens,
      `PUT ${upload(3)}?digest=huge [12582912]`,
      opens,
      `PATCH ${upload(4)} 0-99999 [100000]`,
      `PUT ${upload(4)}?digest=big`
    ]
  },
  {
    at: ["§3 GHCR"],
    does: "calls a chunk that is too large a bad range, which is no reason to send it again",
    quirks: [],
    switches: { patchLimit: 4 * mebibyte },
    run: put(huge, "size", { strategy: "chunked" }),
    fails: { _tag: "RangeMismatch", status: 416 },
    wire: [opens, `PATCH ${upload()} 0-8388607 [8388608]`, `GET ${upload()}`, `DELETE ${upload()}`]
  },
  {
    at: ["§3 ECR", "rule 10"],
    does: "answers a PATCH with 201",
    quirks: [],
    switches: { patchStatus: 201 },
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: streamedBig
  },
  {
    at: ["§3 ECR", "§3 GAR", "§3 Quay", "§3 GitLab", "rule 9"],
    does: "has absolute locations",
    quirks: [],
    switches: { locations: "absolute" },
    run: put(big),
    gives: arrives(big),
    wire: wholeBig
  },
  {
    at: ["§3 ECR", "rule 11"],
    does: "takes no chunk of less than 5 MiB, but the last, and none of more than 20",
    quirks: [
      (healthy) => {
        let small = false
        return answers("PATCH Upload", ({ bytes }) => {
          if (small || bytes.length > 20 * mebibyte)
            return status(400, errors("LayerPartTooSmallException"))
          small = bytes.length < 5 * mebibyte
          return undefined
        })(healthy)
      }
    ],
    run: put(huge, "size", { strategy: "chunked" }),
    gives: arrives(huge),
    wire: [
      opens,
      `PATCH ${upload()} 0-8388607 [8388608]`,
      `PATCH ${upload()} 8388608-12582911 [4194304]`,
      `PUT ${upload()}?digest=huge`
    ]
  },
  {
    at: ["§3 ECR", "rule 10"],
    does: "has a Range that stands still at the first chunk",
    quirks: [sets("PATCH Upload", () => ({ range: "0-39999" }))],
    run: put(big, "size", { chunkSize: 40_000 }),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload()} 0-39999 [40000]`,
      `PATCH ${upload()} 40000-79999 [40000]`,
      `PATCH ${upload()} 80000-99999 [20000]`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["§3 ECR"],
    does: "has a Range that stands still: nobody knows where a fault has left it, it is begun anew",
    quirks: [
      sets("GET PATCH Upload", () => ({ range: "0-39999" })),
      (healthy) => {
        let patches = 0
        const loses = losesAnswer("PATCH Upload")(healthy)
        return (seen) => (is("PATCH Upload")(seen) && ++patches === 3 ? loses(seen) : healthy(seen))
      }
    ],
    run: put(big, "size", { chunkSize: 40_000 }),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload(1)} 0-39999 [40000]`,
      `PATCH ${upload(1)} 40000-79999 [40000]`,
      `PATCH ${upload(1)} 80000-99999 [20000]`,
      `GET ${upload(1)}`,
      `DELETE ${upload(1)}`,
      opens,
      `PATCH ${upload(2)} 0-39999 [40000]`,
      `PATCH ${upload(2)} 40000-79999 [40000]`,
      `PATCH ${upload(2)} 80000-99999 [20000]`,
      `PUT ${upload(2)}?digest=big`
    ]
  },
  {
    at: ["§3 ECR", "rule 8"],
    does: "fails to close with an empty PUT, always: the whole goes by PUT",
    quirks: [],
    switches: { emptyPut: { status: 500 } },
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload(1)} [100000]`,
      ...Array.from({ length: 5 }, () => [`PUT ${upload(1)}?digest=big`, looks("big")]).flat(),
      `DELETE ${upload(1)}`,
      opens,
      `PUT ${upload(2)}?digest=big [100000]`
    ]
  },
  {
    at: ["§3 ECR"],
    does: "has no status of an upload, so that it is begun anew after a fault",
    quirks: [breaksOff("PATCH Upload", 50_000)],
    switches: { uploadStatus: { status: 404, body: "404 page not found" } },
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload(1)} [100000]`,
      `GET ${upload(1)}`,
      `DELETE ${upload(1)}`,
      opens,
      `PATCH ${upload(2)} [100000]`,
      `PUT ${upload(2)}?digest=big`
    ]
  },
  {
    at: ["§3 ECR"],
    does: "closes the connection where there is no repository",
    quirks: [answers("POST Uploads", () => "cut")],
    run: put(big),
    fails: { _tag: "TransportFailure", reason: "Reset", method: "POST" },
    wire: [looks("big"), ...Array.from({ length: 5 }, () => opens)]
  },
  {
    at: ["§3 GAR", "rule 8"],
    does: "takes no PATCH: from then on the whole goes by PUT, and its digest is computed before",
    quirks: [],
    switches: { patch: { status: 405, code: "UNSUPPORTED" } },
    run: (registry) => Effect.zip(put(big, "nothing")(registry), put(huge, "size")(registry)),
    gives: [arrives(big), arrives(huge)],
    wire: [
      opens,
      `PATCH ${upload(1)} [100000]`,
      `DELETE ${upload(1)}`,
      opens,
      `PUT ${upload(2)}?digest=big [100000]`,
      opens,
      `PUT ${upload(3)}?digest=huge [12582912]`
    ]
  },
  {
    at: ["§3 GAR", "rule 8"],
    does: "is behind a proxy that has a page for PATCH: the upload is there, the whole goes by PUT",
    quirks: [answers("PATCH Upload", () => status(404, "<html>Not Found</html>"))],
    run: (registry) =>
      Effect.zip(
        put(big, "nothing")(registry),
        put(big, "size", { strategy: "chunked" })(registry)
      ),
    fails: { _tag: "Unsupported", status: 404 },
    wire: [
      opens,
      `PATCH ${upload(1)} [100000]`,
      `GET ${upload(1)}`,
      `DELETE ${upload(1)}`,
      opens,
      `PUT ${upload(2)}?digest=big [100000]`,
      opens,
      `PATCH ${upload(3)} 0-99999 [100000]`,
      `GET ${upload(3)}`,
      `DELETE ${upload(3)}`
    ]
  },
  {
    at: ["§3 GAR", "§3 Quay", "§3 Gitea", "rule 8"],
    does: "takes a small blob in a single POST",
    quirks: [],
    run: put(tiny),
    gives: arrives(tiny),
    wire: [looks("tiny"), single]
  },
  {
    at: ["§3 ACR"],
    does: "has a page for an upload that it forgot: it is begun anew in the same form",
    quirks: [
      forgets(
        () => status(404, "<html>Not Found</html>"),
        () => status(404, "<html>Not Found</html>")
      )
    ],
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload(1)} [100000]`,
      `GET ${upload(1)}`,
      `DELETE ${upload(1)}`,
      opens,
      `PATCH ${upload(2)} [100000]`,
      `PUT ${upload(2)}?digest=big`
    ],
    leaves: 1
  },
  {
    at: ["§3 ACR"],
    does: "forgets an upload after a fault, with 404 and BLOB_UPLOAD_INVALID: it is begun anew",
    quirks: [
      forgets(
        () => "cut",
        () => status(404, errors("BLOB_UPLOAD_INVALID"))
      )
    ],
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload(1)} [100000]`,
      `GET ${upload(1)}`,
      `DELETE ${upload(1)}`,
      opens,
      `PATCH ${upload(2)} [100000]`,
      `PUT ${upload(2)}?digest=big`
    ],
    leaves: 1
  },
  {
    at: ["§3 Quay", "rule 10"],
    does: "opens an upload with the Range bytes=0--1",
    quirks: [],
    switches: { emptyRange: "bytes=0--1" },
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: streamedBig
  },
  ...[true, false].map(
    (refusing): Row => ({
      at: ["§3 Quay", "rule 9", "rule 10"],
      does: `counts bytes in Range, and ${refusing ? "refuses more with 416" : "has them all"}`,
      quirks: [
        sets("GET Upload", (headers) => ({
          location: undefined,
          range: `bytes=0-${Number(headers.get("range")?.slice(2)) + 1}`
        })),
        refusing ? breaksOff("PATCH Upload", 50_000) : losesAnswer("PATCH Upload")
      ],
      run: put(big, "size"),
      gives: arrives(big),
      wire: [
        opens,
        `PATCH ${upload()} 0-99999 [100000]`,
        `GET ${upload()}`,
        ...(refusing
          ? [
              `PATCH ${upload()} 50001-99999 [49999]`,
              `GET ${upload()}`,
              `PATCH ${upload()} 50000-99999 [50000]`
            ]
          : []),
        `PUT ${upload()}?digest=big`
      ]
    })
  )
]
