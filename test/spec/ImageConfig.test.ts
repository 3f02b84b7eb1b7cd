import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as ImageConfig from "../../src/spec/ImageConfig.js"
import * as MediaType from "../../src/spec/MediaType.js"

const d1 = Digest.unsafeParse(
  "sha256:c6f988f4874bb0add23a778f753c65efe992244e148a1d2ec2a8b664fb66bbd1"
)
const d2 = Digest.unsafeParse(
  "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
)
const utf8 = (text: string) => new TextEncoder().encode(text)
const read = (document: unknown, mediaType?: string) =>
  ImageConfig.fromBytes(utf8(typeof document === "string" ? document : JSON.stringify(document)), {
    mediaType
  })

// The example of config.md, with members that it does not have.
const example = `{
    "created": "2015-10-31T22:22:56.015925234Z",
    "author": "Alyssa P. Hacker <alyspdev@example.com>",
    "architecture": "amd64",
    "os": "linux",
    "x-top": { "b": 1, "a": [null] },
    "config": {
        "User": "alice",
        "ExposedPorts": { "8080/tcp": {} },
        "Env": ["PATH=/usr/bin:/bin", "FOO=oci_is_a"],
        "Entrypoint": ["/bin/my-app-binary"],
        "Cmd": ["--foreground", "--config"],
        "Volumes": { "/var/job-result-data": {}, "/var/log/my-app-logs": {} },
        "WorkingDir": "/home/alice",
        "Labels": { "com.example.project.git.url": "https://example.com/project.git", "__proto__": "x" },
        "OnBuild": ["RUN true"],
        "Healthcheck": { "Test": ["CMD", "true"], "Interval": 30000000000 }
    },
    "rootfs": { "diff_ids": ["${d1}", "${d2}"], "type": "layers", "base_layer": "x" },
    "history": [
      { "created": "2015-10-31T22:22:54Z", "created_by": "/bin/sh -c #(nop) ADD file in /" },
      { "created": "2015-10-31T22:22:55Z", "created_by": "/bin/sh -c #(nop) CMD [\\"sh\\"]", "empty_layer": true },
      { "created": "2015-10-31T22:22:56Z", "created_by": "/bin/sh -c apk add curl", "x-step": 1 }
    ]
}`

describe("fromBytes", () => {
  it.effect("reads every field, and keeps what it does not know at every level (I2)", () =>
    Effect.gen(function* () {
      const { bytes, content, descriptor } = yield* read(example)
      expect(bytes).toEqual(utf8(example))
      expect(descriptor).toEqual(Descriptor.fromBytes(bytes, MediaType.imageConfig))
      expect(JSON.parse(JSON.stringify(content))).toEqual(JSON.parse(example))
      expect(Object.keys(content.config?.Labels ?? {})).toContain("__proto__")
      expect(yield* Schema.encode(ImageConfig.Content)(content)).toEqual(content)
    })
  )

  it.effect("reads null as absent", () =>
    Effect.gen(function* () {
      const nothing = { created: null, author: null, "os.version": null, "os.features": null }
      const config = {
        ExposedPorts: null,
        Env: null,
        Entrypoint: null,
        Cmd: null,
        Volumes: null,
        Labels: null
      }
      const rootfs = { type: "layers", diff_ids: [] }
      const least = { architecture: "amd64", os: "linux", rootfs }
      expect(
        (yield* read({ ...least, ...nothing, config, history: [{ comment: null }] })).content
      ).toStrictEqual({ ...least, config: {}, history: [{}] })
      expect(
        (yield* read({ ...least, variant: null, config: null, history: null })).content
      ).toStrictEqual(least)
    })
  )

  it.effect("reads null as the empty object that a port or a volume has", () =>
    Effect.gen(function* () {
      const config = { ExposedPorts: { "80/tcp": null, "443/tcp": {} }, Volumes: { "/data": null } }
      const rootfs = { type: "layers", diff_ids: [] }
      const { content } = yield* read({ architecture: "amd64", os: "linux", rootfs, config })
      expect(content.config).toEqual({
        ExposedPorts: { "80/tcp": {}, "443/tcp": {} },
        Volumes: { "/data": {} }
      })
    })
  )

  it.effect.each([{ type: "layers" }, { type: "layers", diff_ids: null }])(
    "reads %j as of an image without layers",
    (rootfs) =>
      Effect.gen(function* () {
        const { content } = yield* read({ architecture: "amd64", os: "linux", rootfs })
        expect(content.rootfs).toStrictEqual({ type: "layers", diff_ids: [] })
        expect(yield* ImageConfig.layers(content, [])).toEqual([])
        const layer = Descriptor.fromBytes(new Uint8Array(0), MediaType.layerTar)
        expect(yield* Effect.flip(ImageConfig.layers(content, [layer]))).toMatchObject({
          reason: "Layers"
        })
      })
  )

  it.effect("has Docker's type if it was sent with it", () =>
    Effect.gen(function* () {
      const { descriptor } = yield* read(example, MediaType.dockerImageConfig)
      expect(descriptor.mediaType).toBe(MediaType.dockerImageConfig)
    })
  )

  it.effect.each([
    [`{`, undefined, { reason: "Json" }],
    [
      `[]`,
      undefined,
      { reason: "Json", message: "This is not an image configuration: it is not a JSON object" }
    ],
    [`null`, undefined, { reason: "Json" }],
    [`{"x":${"[".repeat(300)}`, undefined, { reason: "Json" }],
    [`{"os":"linux"}`, undefined, { reason: "Shape", path: "architecture" }],
    [`{"architecture":"a","os":"linux"}`, undefined, { reason: "Shape", path: "rootfs" }],
    [
      `{"architecture":"a","os":"l","rootfs":{"type":"overlay","diff_ids":[]}}`, // I9
      undefined,
      { reason: "Shape", path: "rootfs.type" }
    ],
    [
      `{"architecture":"a","os":"l","rootfs":{"type":"layers","diff_ids":["sha256:../x"]}}`,
      undefined,
      { reason: "Shape", path: "rootfs.diff_ids[0]" }
    ],
    [
      `{"architecture":"a","os":"l","config":{"Labels":{"a":1}},"rootfs":{"type":"layers","diff_ids":[]}}`,
      undefined,
      { reason: "Shape", path: "config.Labels.a" }
    ],
    [example, "application/vnd.cncf.helm.config.v1+json", { reason: "MediaType" }], // I4
    [example, MediaType.empty, { reason: "MediaType" }]
  ] as const)("refuses %s as %s", ([text, mediaType, expected]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(text, mediaType))
      expect(error).toMatchObject({ _tag: "InvalidImageConfig", ...expected })
      expect(error.message.length).toBeLessThan(300)
    })
  )
})

describe("make", () => {
  const content: ImageConfig.Content = {
    rootfs: { diff_ids: [d1], type: "layers" },
    os: "linux",
    architecture: "arm64",
    variant: "v8",
    history: [{ empty_layer: true, created_by: "ENV a=b" }],
    config: {
      Labels: { b: "2", a: "1" },
      Env: ["Z=1", "A=2"],
      ExposedPorts: { "80/tcp": {}, "443/tcp": {} },
      Entrypoint: ["/a"]
    },
    created: "1970-01-01T00:00:00Z"
  }
  const golden = `{"created":"1970-01-01T00:00:00Z","architecture":"arm64","os":"linux","variant":"v8","config":{"ExposedPorts":{"443/tcp":{},"80/tcp":{}},"Env":["Z=1","A=2"],"Entrypoint":["/a"],"Labels":{"a":"1","b":"2"}},"rootfs":{"type":"layers","diff_ids":["${d1}"]},"history":[{"created_by":"ENV a=b","empty_layer":true}]}`

  it("writes the same bytes for the same content", () => {
    const config = ImageConfig.make(content)
    expect(new TextDecoder().decode(config.bytes)).toBe(golden)
    expect(config.descriptor).toEqual(Descriptor.fromBytes(utf8(golden), MediaType.imageConfig))
    expect(
      ImageConfig.make(content, { mediaType: MediaType.dockerImageConfig }).descriptor
    ).toMatchObject({ mediaType: MediaType.dockerImageConfig, digest: config.descriptor.digest })
  })

  it.effect("writes what is not known of a configuration after what is", () =>
    Effect.gen(function* () {
      const { content } = yield* read(example)
      const written = ImageConfig.make({ ...content, os: "freebsd" })
      expect(JSON.parse(new TextDecoder().decode(written.bytes))).toEqual({
        ...JSON.parse(example),
        os: "freebsd"
      })
    })
  )

  it.effect.prop(
    "writes what is read as the same content and bytes",
    [ImageConfig.Content],
    ([content]) =>
      Effect.gen(function* () {
        const written = ImageConfig.make(content)
        const got = yield* ImageConfig.fromBytes(written.bytes)
        expect(ImageConfig.make(got.content).bytes).toEqual(written.bytes)
        expect(got.descriptor).toEqual(written.descriptor)
      }),
    { fastCheck: { numRuns: 30 } }
  )
})

describe("layers (S29)", () => {
  const layers = [d1, d2].map((digest) => ({ mediaType: MediaType.layerTarGzip, digest, size: 1 }))
  const content = (
    diffIds: ReadonlyArray<Digest.Digest>,
    history?: ImageConfig.Content["history"]
  ) =>
    ({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: diffIds },
      ...(history !== undefined && { history })
    }) as const

  it.effect("have their diff ids, and the steps that made them", () =>
    Effect.gen(function* () {
      const [first, second, third] = [{ comment: "1" }, { comment: "2" }, { comment: "3" }]
      const empty = { empty_layer: true }
      for (const [history, expected] of [
        [undefined, [Option.none(), Option.none()]],
        [[], [Option.none(), Option.none()]],
        [
          [empty, first],
          [Option.some(first), Option.none()]
        ],
        [
          [first, empty, empty, second, empty],
          [Option.some(first), Option.some(second)]
        ],
        [
          [first, second, third],
          [Option.some(first), Option.some(second)]
        ]
      ] as const) {
        const found = yield* ImageConfig.layers(content([d2, d1], history), layers)
        expect(found.map(({ history }) => history)).toEqual(expected)
        expect(found.map(({ descriptor, diffId }) => [descriptor, diffId])).toEqual([
          [layers[0], d2],
          [layers[1], d1]
        ])
      }
      expect(yield* ImageConfig.layers(content([]), [])).toEqual([])
    })
  )

  it.effect("are not read with more or fewer diff ids than there are layers", () =>
    Effect.gen(function* () {
      for (const diffIds of [[], [d1], [d1, d2, d1]]) {
        const error = yield* Effect.flip(ImageConfig.layers(content(diffIds), layers))
        expect(error).toMatchObject({
          _tag: "InvalidImageConfig",
          reason: "Layers",
          path: "rootfs.diff_ids"
        })
        expect(error.message).toContain(`${diffIds.length} diff_ids for 2 layers`)
      }
    })
  )
})
