/** What is measured against what, and how it should compare. */
import { able } from "./others.js"

export interface Sample {
  readonly seconds: number
  readonly cpu: number
  readonly memory: number
  readonly connections: number
}

/**
 * `of` both samples `quantity` is compared: ours is to be `at most` or, of the speed, `at least` so
 * many times the reference. Without a reference the quantity itself is to be at most that.
 */
export interface Row {
  readonly what: string
  readonly ours: string
  readonly reference?: string
  readonly quantity: "seconds" | "speed" | keyof Sample
  readonly bound?: number
  /** What ours may take more than the bound says, in the unit of the quantity. */
  readonly allowance?: number
}

/** Tasks of blobs of 8 GiB, run once. */
export const eight = "8 GiB: "

const row = (
  what: string,
  quantity: Row["quantity"],
  ours: string,
  reference?: string,
  bound?: number
): Row => ({
  what,
  quantity,
  ours,
  ...(reference !== undefined && { reference }),
  ...(bound !== undefined && { bound })
})

/** Against every other client that can do it. */
const against = (what: string, ours: string, task: string, bound: number) =>
  able(task).map((name) => row(what, "seconds", ours, `others/${task}, ${name}`, bound))

const pulls: ReadonlyArray<Row> = [
  row("pull, verified, as a Stream", "speed", "ours/pull stream", "raw/pull stream", 1),
  row("pull, verified, as a Stream", "speed", "ours/pull stream", "raw/pull stream, node:http"),
  row("CPU of a pull", "cpu", "ours/pull stream", "raw/pull stream", 1),
  row("pull, verified, to a file", "speed", "ours/pull file", "raw/pull file", 1.15),
  ...against("pull, verified, to a file", "ours/pull file", "pull file", 0.65),
  row("pull, nothing kept", "seconds", "ours/pull, nothing kept", "raw/pull stream", 0.6),
  row("CPU of a pull, nothing kept", "cpu", "ours/pull, nothing kept", "raw/pull stream", 0.75),
  row("pull into an upload", "seconds", "ours/pull into an upload", "raw/pull stream", 0.6),
  row("CPU of a pull into an upload", "cpu", "ours/pull into an upload", "raw/pull stream", 0.75),
  row("pull through a cold cache", "seconds", "ours/pull through a cold cache", "ours/pull stream"),
  row("pull through a warm cache", "seconds", "ours/pull through a warm cache", "ours/pull stream"),
  ...against("pull over TLS, to a file", "ours/pull file over TLS", "pull file over TLS", 0.9),
  row(
    "pull over TLS, to a file",
    "seconds",
    "ours/pull file over TLS",
    "others/pull file over TLS, curl",
    1.15
  ),
  ...["pull file", "pull, nothing kept", "pull stream"].map((task) =>
    row(
      `CPU of ${task}, beside 1.5 million objects`,
      "cpu",
      `ours/${task} beside objects`,
      `ours/${task}`,
      task === "pull stream" ? undefined : 1.3
    )
  )
]

const parallel: ReadonlyArray<Row> = [
  row(
    "pull to a file over four connections, of 40 MB/s each",
    "seconds",
    "ours/pull file at 40 MB per second over four",
    "ours/pull file at 40 MB per second",
    0.3
  ),
  row(
    "pull to a file over up to four connections, unlimited",
    "seconds",
    "ours/pull file over four",
    "ours/pull file",
    1.05
  ),
  ...["", " at 40 MB per second"].map((speed) => ({
    ...row(
      `peak memory (MB), less 64, pull to a file over four connections${speed}`,
      "memory",
      `ours/pull file${speed} over four`,
      `ours/pull file${speed}`,
      1
    ),
    allowance: 64
  }))
]

const push = "ours/push file, digest unknown"
const chunks = "ours/push file, chunks of 8 MiB"
const pushes: ReadonlyArray<Row> = [
  row("push a file, digest unknown", "seconds", push, "raw/push file"),
  row("push a file, digest unknown", "seconds", push, "raw/push file, socket", 1.25),
  ...against("push a file, digest unknown", push, "push file", 0.7),
  {
    ...row("CPU of a push, less 0.3 s", "cpu", push, "others/push file, curl", 1),
    allowance: 0.3
  },
  row("push a file, digest known", "seconds", "ours/push file, digest known", "raw/push file", 1.1),
  row("CPU of a push", "cpu", "ours/push file, digest known", "raw/push file", 1.35),
  row("push a file in chunks of 8 MiB", "seconds", chunks, push, 1.25),
  row("push a file in chunks of 8 MiB", "seconds", chunks, "raw/push file, chunks of 8 MiB", 1.1),
  row("CPU of a push in chunks of 8 MiB", "cpu", chunks, "raw/push file, chunks of 8 MiB", 1.15),
  row("push a Stream of 64 KiB arrays", "seconds", "ours/push stream of 64 KiB arrays", push, 1.3)
]

/** What the server takes by itself, which must not be what is waited for. */
const server: ReadonlyArray<Row> = [
  row("the server alone: sending", "seconds", "raw/server sends", "ours/pull, nothing kept", 0.8),
  row("the server alone: receiving", "seconds", "raw/server receives", push, 0.8)
]

const served: ReadonlyArray<Row> = [
  ["push of 1 GiB through a registry", "push", 1.15] as const,
  ["pull of 1 GiB through a registry", "pull", 1.15] as const,
  ["2,000 small requests at once to a registry", "2,000 small requests at once", undefined] as const
].map(([what, work, bound]) =>
  row(what, "seconds", `served/${work}, effect-oci`, `served/${work}, docker-registry`, bound)
)

const many: ReadonlyArray<Row> = [
  ...["pull", "push"].flatMap((way) => [
    ...against(`${way} 16 blobs of 64 MiB at once`, `ours/${way} parts`, `${way} parts`, 1),
    row(
      `peak memory (MB), ${way} of 16 blobs at once`,
      "memory",
      `ours/${way} parts`,
      undefined,
      300
    )
  ]),
  ...["pull stream", "pull file", "push file, digest unknown"].flatMap((task) => [
    row(`peak memory (MB), ${task}`, "memory", `ours/${task}`, undefined, 200),
    row(`peak memory (MB), ${task}, 8 GiB`, "memory", `${eight}ours/${task}`, undefined, 220),
    row(
      `peak memory, ${task}, 8 GiB to 1 GiB`,
      "memory",
      `${eight}ours/${task}`,
      `ours/${task}`,
      1.1
    )
  ])
]

const folders: ReadonlyArray<Row> = ["pull", "push"].flatMap((way) =>
  ["files", "an archive"].flatMap((form) => {
    const task = `${way} folder as ${form}`
    const what = `${way} a folder of 200 files, as ${form}`
    return [
      ...(form === "files" ? [row(what, "seconds", `ours/${task}`, `bareCopies/${task}`)] : []),
      ...against(what, `ours/${task}`, task, 1)
    ]
  })
)

const small: ReadonlyArray<Row> = [
  row("2,000 small blobs up and down", "speed", "ours/small blobs", "bare/small blobs"),
  row(
    "2,000 small blobs up and down",
    "speed",
    "ours/small blobs",
    "bare/small blobs, gathered",
    0.9
  ),
  row("2,000 small blobs up and down", "speed", "ours/small blobs", "raw/small blobs"),
  ...["HEADs", "GETs"].flatMap((method) => {
    const what = `5,000 manifest ${method}`
    const task = `manifest ${method}`
    return [
      row(`CPU of ${what}`, "cpu", `ours/${task}`, `bare/${task}`, 1.11),
      row(what, "speed", `ours/${task}`, `bare/${task}`, 0.8),
      row(what, "speed", `ours/${task}`, `raw/${task}`),
      row(`${what}, connections`, "connections", `ours/${task}`, undefined, 16)
    ]
  }),
  row("cold start", "seconds", "cold/start", "cold/Effect modules", 1.15)
]

const images: ReadonlyArray<Row> = [
  "image, list one layer",
  "image, flatten twenty layers",
  "image, flatten twenty layers, spooled"
].flatMap((task) => {
  const crane = `others/${task.replace(", spooled", "")}, crane`
  return [
    row(task, "seconds", `ours/${task}`, crane, 1),
    row(`CPU of ${task}`, "cpu", `ours/${task}`, crane),
    row(`peak memory (MB), ${task}`, "memory", `ours/${task}`, undefined, 250)
  ]
})

const growth: ReadonlyArray<Row> = [
  "100000 tags",
  "10000 referrers",
  "1000 layers in a manifest",
  "1000 hosts",
  "10000 tokens"
].flatMap((items) => {
  const [all, tenth] = [`growth/${items} at once`, `growth/${items}, a tenth at a time`]
  return [
    row(`CPU of ${items}`, "cpu", all, tenth, 1.15),
    row(`peak memory (MB), ${items}`, "memory", all, tenth)
  ]
})

/** Copies between registries, against undici alone, and the fastest of others less their start. */
const copies: ReadonlyArray<Row> = [
  { work: "an image of 64 layers of 4 MiB", clients: ["crane", "oras", "skopeo"], bound: 0.9 },
  { work: "an image of one layer of 1 GiB", clients: ["crane", "oras", "skopeo"], bound: 0.9 },
  {
    work: "an image of 64 layers of 4 MiB that is there",
    clients: ["crane", "oras", "skopeo"],
    bound: 1
  },
  { work: "an index of 8 platforms", clients: ["crane", "oras", "skopeo"], bound: 1 },
  { work: "an image of 64 layers of 4 MiB to a layout", clients: ["oras"], bound: 1 },
  { work: "an image of 64 layers of 4 MiB from a layout", clients: ["oras"], bound: 1 },
  { work: "500 small images of one repository", clients: ["crane", "skopeo"], bound: 0.7 }
].flatMap(({ bound, clients, work }) => [
  ...clients.map((name) =>
    row(`copy ${work}`, "seconds", `copies/${work}, effect-oci`, `copies/${work}, ${name}`, bound)
  ),
  ...(/layout|500|there/.test(work)
    ? []
    : [row(`copy ${work}`, "seconds", `copies/${work}, effect-oci`, `copies/${work}, undici`)]),
  ...(work.includes("layout")
    ? []
    : [
        row(
          `copy ${work}, as a process`,
          "seconds",
          `copies/${work}, effect-oci as a process`,
          `copies/${work}, effect-oci`
        ),
        row(
          `peak memory (MB), copy ${work}`,
          "memory",
          `copies/${work}, effect-oci`,
          undefined,
          200
        )
      ])
])

/** One layout of 10,000 tags and 5,000 blobs, against its `index.json` alone. */
const layouts: ReadonlyArray<Row> = [
  { ours: "open and read one", reference: "read index.json", bound: 1 },
  { ours: "open and list", reference: "read index.json", bound: 1 },
  { ours: "open and add one", reference: "write index.json", bound: 2 }
].flatMap(({ bound, ours, reference }) => {
  const [task, floor] = [`layout/${ours}`, `layout/${reference}`]
  return [
    { ...row(`CPU of a large layout: ${ours}`, "cpu", task, floor, bound), allowance: 0.1 },
    row(`a large layout: ${ours}`, "seconds", task, floor)
  ]
})

export const rows: ReadonlyArray<Row> = [
  ...pulls,
  ...parallel,
  ...pushes,
  ...server,
  ...served,
  ...many,
  ...folders,
  ...small,
  ...images,
  ...growth,
  ...layouts,
  ...copies
]
