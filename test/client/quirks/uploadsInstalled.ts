/**
 * Section 3, the software that companies install, and what is true of all: the forms, the locations
 * and the ranges of uploads.
 */
import * as Effect from "effect/Effect"
import { status } from "../world.js"
import { app, big, huge, tiny } from "./content.js"
import { answers, breaksOff, changes, losesAnswer, rewrites, sets } from "./mock.js"
import type { Row } from "./row.js"
import {
  arrives,
  errors,
  locations,
  looks,
  mebibyte,
  newestOnly,
  opens,
  put,
  single,
  streamedBig,
  takesAtMost,
  upload,
  wholeBig
} from "./uploading.js"

export const rows: ReadonlyArray<Row> = [
  {
    at: ["§3 Harbor"],
    does: "is over its quota, with 403",
    quirks: [
      answers("PUT Upload", () =>
        status(403, errors("DENIED", "adding 100000 bytes will exceed the quota"))
      )
    ],
    run: put(big),
    fails: {
      _tag: "Denied",
      status: 403,
      errors: [{ message: "adding 100000 bytes will exceed the quota" }]
    },
    wire: [...wholeBig, `DELETE ${upload()}`]
  },
  {
    at: ["§3 Harbor"],
    does: "is over its quota, with 412",
    quirks: [answers("PUT Upload", () => status(412, errors("PROJECTPOLICYVIOLATION")))],
    run: put(big),
    fails: { _tag: "RegistryFailure", status: 412, errors: [{ code: "PROJECTPOLICYVIOLATION" }] },
    wire: [...wholeBig, `DELETE ${upload()}`]
  },
  {
    at: ["§3 Artifactory"],
    does: "takes content by PATCH only: from then on none goes by PUT",
    quirks: [],
    switches: { putContent: { status: 405 } },
    run: (registry) => Effect.zip(put(big)(registry), put(huge)(registry)),
    gives: [arrives(big), arrives(huge)],
    wire: [
      ...wholeBig,
      `DELETE ${upload(1)}`,
      opens,
      `PATCH ${upload(2)} 0-99999 [100000]`,
      `PUT ${upload(2)}?digest=big`,
      looks("huge"),
      opens,
      `PATCH ${upload(3)} 0-12582911 [12582912]`,
      `PUT ${upload(3)}?digest=huge`
    ]
  },
  {
    at: ["§3 Nexus"],
    does: "refuses a chunk with 400, blob upload invalid",
    quirks: [
      answers("PATCH Upload", () =>
        status(400, errors("BLOB_UPLOAD_INVALID", "blob upload invalid"))
      )
    ],
    run: put(big, "nothing"),
    fails: { _tag: "RegistryFailure", status: 400, errors: [{ code: "BLOB_UPLOAD_INVALID" }] },
    wire: [opens, `PATCH ${upload()} [100000]`, `DELETE ${upload()}`]
  },
  {
    at: ["§3 Gitea"],
    does: "takes no PATCH without a range, but the first",
    quirks: [breaksOff("PATCH Upload", 50_000)],
    switches: { numbersChunks: true },
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload()} [100000]`,
      `GET ${upload()}`,
      `PATCH ${upload()} 50000-99999 [50000]`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["§3 Gitea", "rule 9"],
    does: "names the owner otherwise in its locations",
    quirks: [
      locations((location) => location.replace("/team/", "/the-team/")),
      rewrites("Upload", ({ url }) => ({ url: new URL(url.href.replace("/the-team/", "/team/")) }))
    ],
    run: put(big),
    gives: arrives(big),
    wire: [looks("big"), opens, "PUT /v2/the-team/app/blobs/uploads/1?digest=big [100000]"]
  },
  {
    at: ["§3 Cloudflare", "§3 distribution", "rule 8"],
    does: "answers a single POST with an upload, and drops the content: from then on there is none",
    quirks: [],
    switches: { singlePost: false },
    run: (registry) => Effect.zip(put(tiny)(registry), put(tiny, "nothing")(registry)),
    gives: [arrives(tiny), arrives(tiny)],
    wire: [
      looks("tiny"),
      single,
      `PUT ${upload(1)}?digest=tiny [12]`,
      opens,
      `PATCH ${upload(2)} [12]`,
      `PUT ${upload(2)}?digest=tiny`
    ]
  },
  {
    at: ["§3 Cloudflare", "rule 9", "rule 11"],
    does: "wants chunks of 5 MiB at least, equal in size but for the last, at the newest location",
    quirks: [
      sets("POST Uploads", () => ({
        "oci-chunk-min-length": "5242880",
        "oci-chunk-max-length": "100000000"
      })),
      newestOnly("_stateHash")
    ],
    run: put(huge, "nothing"),
    gives: arrives(huge),
    wire: [
      opens,
      `PATCH ${upload()}?_stateHash=1%2F+~! 0-8388607 [8388608]`,
      `PATCH ${upload()}?_stateHash=2%2F+~! 8388608-12582911 [4194304]`,
      `PUT ${upload()}?_stateHash=3%2F+~!&digest=huge`
    ]
  },
  {
    at: ["§3 Cloudflare", "rule 11"],
    does: "wants larger chunks than it is sent",
    quirks: [],
    switches: { chunkMinLength: 60_000 },
    run: put(big, "nothing", { chunkSize: 10_000 }),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload()} 0-59999 [60000]`,
      `PATCH ${upload()} 60000-99999 [40000]`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["rule 11"],
    does: "wants chunks larger than memory: the content goes as one, the last, as it is read (T6)",
    quirks: [
      sets("POST Uploads", () => ({ "oci-chunk-min-length": String(Number.MAX_SAFE_INTEGER) }))
    ],
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: streamedBig
  },
  {
    at: ["§3 Cloudflare"],
    does: "wants chunks of a size at most, also of what is known in advance",
    quirks: [],
    switches: { chunkMaxLength: 60_000 },
    run: put(big),
    gives: arrives(big),
    wire: [
      looks("big"),
      opens,
      `PATCH ${upload()} 0-59999 [60000]`,
      `PATCH ${upload()} 60000-99999 [40000]`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["§3 Cloudflare", "rule 10"],
    does: "has the Range 0--1 where there is nothing yet",
    quirks: [sets("GET Upload", () => ({ range: "0--1" })), breaksOff("PATCH Upload", 0)],
    run: put(big, "size"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload()} 0-99999 [100000]`,
      `GET ${upload()}`,
      `PATCH ${upload()} 0-99999 [100000]`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["§3 Cloudflare"],
    does: "takes no body over a limit, with 413 and HTML: it goes in chunks",
    quirks: [
      takesAtMost(
        10_000_000,
        () => status(413, "<html>413 Payload Too Large</html>"),
        "PATCH PUT Upload"
      )
    ],
    run: (registry) => Effect.zip(put(huge)(registry), put(big)(registry)),
    gives: [arrives(huge), arrives(big)],
    wire: [
      looks("huge"),
      opens,
      `PUT ${upload(1)}?digest=huge [12582912]`,
      `DELETE ${upload(1)}`,
      opens,
      `PATCH ${upload(2)} 0-12582911 [12582912]`,
      `DELETE ${upload(2)}`,
      opens,
      `PATCH ${upload(3)} 0-8388607 [8388608]`,
      `PATCH ${upload(3)} 8388608-12582911 [4194304]`,
      `PUT ${upload(3)}?digest=huge`,
      looks("big"),
      opens,
      `PUT ${upload(4)}?digest=big [100000]`
    ]
  },
  {
    at: ["§3 zot", "§3 distribution"],
    does: "takes content as application/octet-stream, with its length in a single POST",
    quirks: [
      answers("", ({ bytes, headers, method, url }) => {
        if (bytes.length === 0) return undefined
        if (headers["content-type"] !== "application/octet-stream") return status(415)
        return method === "POST" &&
          headers["content-length"] !== String(bytes.length) &&
          url.search !== ""
          ? status(400)
          : undefined
      })
    ],
    run: (registry) =>
      Effect.all([
        put(tiny)(registry),
        put(big)(registry),
        put(huge, "nothing", { chunkSize: mebibyte })(registry)
      ]),
    gives: [arrives(tiny), arrives(big), arrives(huge)]
  },
  {
    at: ["§3 distribution"],
    does: "knows no state but the newest, so that an upload is begun anew when an answer was lost",
    quirks: [losesAnswer("PATCH Upload")],
    switches: { uploadState: "_state" },
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload(1)}?_state=1%2F+~! [100000]`,
      `GET ${upload(1)}?_state=1%2F+~!`,
      `DELETE ${upload(1)}?_state=1%2F+~!`,
      opens,
      `PATCH ${upload(2)}?_state=3%2F+~! [100000]`,
      `PUT ${upload(2)}?_state=4%2F+~!&digest=big`
    ],
    leaves: 1
  },
  {
    at: ["§3 distribution"],
    does: "does not know its own port behind a proxy, where it is the usual one",
    host: "registry.example:443",
    options: { url: "https://registry.example:443" },
    quirks: [locations((location) => `https://registry.example${location}`)],
    run: put(big),
    gives: arrives(big),
    wire: wholeBig
  },
  {
    at: ["§3 distribution"],
    does: "names its usual port, which others leave out",
    quirks: [locations((location) => `https://registry.example:443${location}`)],
    run: put(big),
    gives: arrives(big),
    wire: wholeBig
  },
  {
    at: ["§3 distribution"],
    does: "does not know its scheme behind a proxy (T3)",
    quirks: [locations((location) => `http://registry.example${location}`)],
    run: put(big),
    fails: {
      _tag: "UntrustedLocation",
      kind: "Upload",
      host: "registry.example",
      option: undefined
    },
    wire: [looks("big"), opens],
    leaves: 1
  },
  {
    at: ["§3 distribution"],
    does: "does not know its port behind a proxy (T3)",
    host: "registry.example:8443",
    quirks: [locations((location) => `https://registry.example:5000${location}`)],
    run: put(big),
    fails: {
      _tag: "UntrustedLocation",
      kind: "Upload",
      host: "registry.example:5000",
      option: "trust.allowUploads"
    },
    wire: [looks("big"), opens],
    leaves: 1
  },
  {
    at: ["§3 distribution", "rule 10"],
    does: "has the Range 0-0 for nothing and for one byte",
    quirks: [breaksOff("PUT Upload", 1)],
    run: put(big),
    gives: arrives(big),
    wire: [
      ...wholeBig,
      looks("big"),
      `GET ${upload()}`,
      `PUT ${upload()}?digest=big 0-99999 [100000]`,
      looks("big"),
      `GET ${upload()}`,
      `PATCH ${upload()} 1-99999 [99999]`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["§3 distribution"],
    does: "says BLOB_UPLOAD_INVALID, with 404, of an upload that is gone",
    quirks: [answers("Upload", () => status(404, errors("BLOB_UPLOAD_INVALID")))],
    run: (registry) =>
      registry.resumeUpload({
        repository: app,
        location: `https://registry.example${upload()}`,
        offset: 0
      }),
    fails: { _tag: "UploadUnknown", status: 404, errors: [{ code: "BLOB_UPLOAD_INVALID" }] },
    wire: [`GET ${upload()}`]
  },
  {
    at: ["§3 all", "rule 18"],
    does: "has stored what a PATCH brought whose answer was lost, so that it must not come twice",
    quirks: [losesAnswer("PATCH Upload")],
    run: put(big, "size"),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload()} 0-99999 [100000]`,
      `GET ${upload()}`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["§3 all"],
    does: "takes a Content-Range only as the specification has it",
    quirks: [
      answers("PATCH Upload", ({ headers }) =>
        /^[0-9]+-[0-9]+$/.test(headers["content-range"] ?? "") ? undefined : status(400)
      )
    ],
    run: put(big, "nothing", { chunkSize: 65_536 }),
    gives: arrives(big),
    wire: [
      opens,
      `PATCH ${upload()} 0-65535 [65536]`,
      `PATCH ${upload()} 65536-99999 [34464]`,
      `PUT ${upload()}?digest=big`
    ]
  },
  {
    at: ["§3 all", "rule 9"],
    does: "has locations relative to the request",
    quirks: [locations((location) => `../uploads/${location.split("/").at(-1)}?x=a%2Fb`)],
    run: put(big, "nothing"),
    gives: arrives(big),
    wire: [opens, `PATCH ${upload()}?x=a%2Fb [100000]`, `PUT ${upload()}?x=a%2Fb&digest=big`]
  },
  ...([202, 201, 204] as const).flatMap((code) =>
    [
      "0-49999",
      "bytes=0-49999",
      "bytes 0-49999",
      "0-0",
      "0--1",
      "bytes=0--1",
      "nonsense",
      undefined
    ].map(
      (range): Row => ({
        at: ["rule 10"],
        does: `answers a chunk with ${code} and the Range ${range}`,
        quirks: [
          sets("PATCH Upload", () => ({ range })),
          changes("PATCH Upload", ({ headers }) => new Response(null, { status: code, headers }))
        ],
        run: put(big, "size", { chunkSize: 50_000 }),
        gives: arrives(big),
        wire: [
          opens,
          `PATCH ${upload()} 0-49999 [50000]`,
          `PATCH ${upload()} 50000-99999 [50000]`,
          `PUT ${upload()}?digest=big`
        ]
      })
    )
  )
]
