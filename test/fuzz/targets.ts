/** Everything that reads what strangers send, as functions of text. */
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Headers from "@effect/platform/Headers"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as CredentialHelper from "../../src/auth/CredentialHelper.js"
import * as AuthFile from "../../src/auth/internal/AuthFile.js"
import * as TokenResponse from "../../src/auth/internal/TokenResponse.js"
import * as RateLimit from "../../src/client/http/RateLimit.js"
import * as ContentDecoding from "../../src/internal/ContentDecoding.js"
import * as ZstdFrames from "../../src/internal/ZstdFrames.js"
import * as DaemonJson from "../../src/node/internal/machine/DaemonJson.js"
import * as RegistriesConf from "../../src/node/internal/machine/RegistriesConf.js"
import * as Rules from "../../src/node/internal/machine/Rules.js"
import * as ProxySettings from "../../src/node/ProxySettings.js"
import * as AccessScope from "../../src/protocol/AccessScope.js"
import * as ByteRange from "../../src/protocol/ByteRange.js"
import * as Challenge from "../../src/protocol/Challenge.js"
import * as ErrorBody from "../../src/protocol/ErrorBody.js"
import * as FieldValue from "../../src/protocol/internal/FieldValue.js"
import * as OperationEncoder from "../../src/protocol/internal/OperationEncoder.js"
import * as PageTitle from "../../src/protocol/internal/PageTitle.js"
import * as RedactedText from "../../src/protocol/internal/RedactedText.js"
import * as RedactedUrl from "../../src/protocol/internal/RedactedUrl.js"
import * as RegistrableDomain from "../../src/protocol/internal/RegistrableDomain.js"
import * as RequestTemplate from "../../src/protocol/internal/RequestTemplate.js"
import * as RetryAfter from "../../src/protocol/internal/RetryAfter.js"
import * as Route from "../../src/protocol/internal/Route.js"
import * as SingleField from "../../src/protocol/internal/SingleField.js"
import * as UrlQuery from "../../src/protocol/internal/UrlQuery.js"
import * as Warning from "../../src/protocol/internal/Warning.js"
import * as Link from "../../src/protocol/Link.js"
import * as Operation from "../../src/protocol/Operation.js"
import * as Trust from "../../src/protocol/Trust.js"
import * as Annotations from "../../src/spec/Annotations.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Host from "../../src/spec/Host.js"
import * as ImageConfig from "../../src/spec/ImageConfig.js"
import * as ImageLayout from "../../src/spec/ImageLayout.js"
import * as DockerArchive from "../../src/spec/internal/DockerArchive.js"
import * as GenericMediaType from "../../src/spec/internal/GenericMediaType.js"
import * as IndexEdit from "../../src/spec/internal/IndexEdit.js"
import * as JoseKey from "../../src/spec/internal/JoseKey.js"
import * as JsonText from "../../src/spec/internal/JsonText.js"
import * as ManifestDocument from "../../src/spec/internal/ManifestDocument.js"
import * as ManifestEncoding from "../../src/spec/internal/ManifestEncoding.js"
import * as ManifestMediaType from "../../src/spec/internal/ManifestMediaType.js"
import * as PaxRecords from "../../src/spec/internal/PaxRecords.js"
import * as ServerText from "../../src/spec/internal/ServerText.js"
import * as SignedPayload from "../../src/spec/internal/SignedPayload.js"
import { isProblem } from "../../src/spec/internal/TarEntry.js"
import * as TarHeader from "../../src/spec/internal/TarHeader.js"
import * as TarPath from "../../src/spec/internal/TarPath.js"
import * as TarReader from "../../src/spec/internal/TarReader.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import * as SignedManifest from "../../src/spec/SignedManifest.js"
import { UploadState } from "../../src/Transfer.js"
import * as Tar from "../support/tar.js"
import { seedsOf } from "./seeds.js"

/**
 * `bound` is how many characters the result may hold, whatever the input: by default, four times as
 * many as that, and 2,048. `tests` names the tests whose texts are seeds besides `seeds`.
 */
export interface Target {
  readonly name: string
  readonly tests?: string
  readonly seeds: ReadonlyArray<string>
  readonly run: (input: string) => unknown
  readonly bound?: number
}

const placeholders = ["name", "reference", "digest", "session_id"] as const

/** The value or the typed error of a parser. A defect is thrown. */
const outcome = <A, E>(effect: Effect.Effect<A, E>): unknown =>
  Exit.match(Effect.runSyncExit(effect), {
    onFailure: (cause) => {
      const failure = Option.getOrUndefined(Cause.failureOption(cause))
      if (failure === undefined) throw Cause.squash(cause)
      // Messages go to logs and terminals.
      if (failure instanceof Error && failure.message.length > 2048)
        throw new Error("the message is too long")
      return failure
    },
    onSuccess: (value) => value
  })

/** What a function returns, or the typed error that it throws. */
const attempt = (run: () => unknown): unknown =>
  outcome(
    Effect.suspend(() => {
      try {
        return Effect.succeed(run())
      } catch (error) {
        if (Predicate.hasProperty(error, "_tag")) return Effect.fail(error)
        throw error
      }
    })
  )

const sha = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b"
const name = "library/alpine"
const repository = Effect.runSync(Reference.parseRepositoryName("a/b/c"))
const config = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"${sha}","size":2}`
const layer = `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"${sha}","size":9,"urls":["https://a/b"],"data":"e30=","annotations":{"org.opencontainers.image.title":"a.txt"}}`
const image = `{"schemaVersion":2,"mediaType":"${MediaType.imageManifest}","artifactType":"a/b","config":${config},"layers":[${layer}],"subject":${config},"annotations":{"__proto__":"x","a":"b"}}`
const index = `{"schemaVersion":2,"mediaType":"${MediaType.imageIndex}","manifests":[{"mediaType":"${MediaType.imageManifest}","digest":"${sha}","size":1,"platform":{"os":"linux","architecture":"arm64","variant":"v8","os.features":["a"]}}]}`

const archives: ReadonlyArray<Uint8Array> = [
  Tar.files({ "etc/": "", "etc/hosts": "127.0.0.1" }),
  Tar.archive(
    Tar.extended({ path: "a/b", linkpath: "c", size: "3", uid: "4294967294", mtime: "1.5" }),
    Tar.entry({ name: "x", type: "2", link: "y" })
  ),
  Tar.archive(
    Tar.extended({ comment: "x", "SCHILY.xattr.user.a": "b" }, "g"),
    Tar.longName("long/name"),
    Tar.longName("link", "K"),
    Tar.entry({ name: "x", type: "1", link: "y" }),
    Tar.entry({ name: "z", prefix: "p" }, "content")
  )
]

/** What an archive holds, whole and in pieces, whose headers have their checksums. */
const entriesOf = (input: string): unknown => {
  const archive = Tar.sealed(Buffer.from(input, "latin1"))
  const read = (step: number) => {
    const entries: Array<unknown> = []
    let size = 0
    const reader = TarReader.make({
      entry: (entry) => {
        if (entry.path.split("/").includes("..")) throw new Error("an entry leads out")
        entries.push({ ...entry, records: [...entry.records.keys()] })
      },
      data: (bytes) => {
        size += bytes.length
      }
    })
    for (let at = 0; at < archive.length; at += step) {
      const problem = reader.push(archive.subarray(at, at + step))
      if (problem !== undefined) return [entries, size, problem]
    }
    return [entries, size, reader.end()]
  }
  const whole = read(archive.length)
  if (JSON.stringify(read(100)) !== JSON.stringify(whole)) throw new Error("cuts count")
  const block = new Uint8Array(512)
  block.set(archive.subarray(0, 512))
  const records = PaxRecords.parse(archive)
  if (!isProblem(records)) PaxRecords.encode(records)
  return [whole, TarHeader.isEnd(block), TarHeader.parse(block)]
}

const received = (input: string): unknown => {
  const [method = "", url = "", ...headers] = input.split("\n")
  return outcome(
    Effect.map(
      Operation.fromRequest({
        method,
        url,
        headers: Object.fromEntries(headers.map((line) => line.split(": ", 2)))
      }),
      (operation) => {
        const base = "https://registry.example.com"
        const { headers, method, url } = Operation.toRequest(base, operation)
        const other = OperationEncoder.toRequest(`${base}/prefix`, operation).url
        return [operation, Operation.requiredScopes(operation), method, url, other, headers]
      }
    )
  )
}

const sameDomain = await Effect.runPromise(RegistrableDomain.sameDomain)

const judged = (input: string): unknown => {
  const request = {
    registry: "https://registry.example.com/base",
    from: "https://registry.example.com/v2/",
    target: input
  }
  return [
    Trust.decide(Trust.strict, { ...request, kind: "Redirect", method: "GET" }),
    Trust.decide({ ...Trust.strict, allowUploads: [input] }, { ...request, kind: "Upload" }),
    Trust.decide(Trust.strict, { ...request, kind: "Link" }),
    Trust.decide(
      { ...Trust.strict, allowTokens: [input] },
      { ...request, kind: "Realm", credentials: true, sameDomain }
    ),
    Trust.decide(Trust.strict, { registry: input, from: input, target: "/v2/", kind: "Layer" }),
    Trust.origin(input),
    Trust.isAt("https://registry.example.com", input),
    Host.isLoopback(input)
  ]
}

/** An index is changed without being understood; what it must give then is for its test to say. */
const edited = (manifest: Manifest.Manifest): Effect.Effect<void, Manifest.InvalidManifest> => {
  if (manifest.content._tag !== "ImageIndex") return Effect.void
  const [entry = Descriptor.empty] = manifest.content.manifests
  return Effect.asVoid(
    Effect.flatMap(IndexEdit.withEntry(manifest, entry), (more) =>
      IndexEdit.withoutEntry(more, entry.digest)
    )
  )
}

const decoded = (bytes: Uint8Array): unknown =>
  [
    MediaType.imageManifest,
    MediaType.imageIndex,
    MediaType.dockerManifest,
    MediaType.dockerManifestList,
    undefined
  ].map((mediaType) =>
    outcome(
      Effect.flatMap(Manifest.fromBytes(bytes, { mediaType }), (manifest) => {
        const references = Manifest.references(manifest)
        const views = [
          manifest.content._tag,
          manifest.descriptor,
          Manifest.subject(manifest),
          Manifest.artifactType(manifest),
          references,
          references.map(({ annotations }) => Annotations.getTitle(annotations))
        ]
        const { content } = manifest
        const written =
          content._tag === "UnknownManifest"
            ? bytes
            : ManifestEncoding.encode(manifest.descriptor.mediaType, content)
        return edited(manifest).pipe(
          Effect.zipRight(
            ManifestDocument.decode(manifest.descriptor.mediaType, ManifestDocument.parse(written))
          ),
          Effect.as(views)
        )
      }).pipe(
        Effect.zipLeft(ManifestDocument.mediaTypeOf(mediaType, ManifestDocument.parse(bytes)))
      )
    )
  )

const reader = <A, I>(schema: Schema.Schema<A, I>): ((input: unknown) => unknown) =>
  Schema.decodeUnknownOption(schema)

const json = <A, I>(schema: Schema.Schema<A, I>) => reader(Schema.parseJson(schema))

/** The schemas of texts, and of what challenges and errors hold. */
const schemas = [
  reader(Digest.Digest),
  reader(Reference.RepositoryName),
  reader(Reference.Tag),
  reader(Reference.FromString),
  reader(Host.Host),
  reader(Host.FromString),
  reader(Platform.FromString),
  json(Challenge.Challenge),
  json(ErrorBody.ErrorInfo)
]

/** What a file of logins has for some registries. */
const credentialsIn = (text: string, legacy: boolean): unknown => {
  const demands = [
    "https://registry-1.docker.io",
    "https://ghcr.io",
    "http://registry.example.com:5000"
  ].map((origin) => ({ origin, repository, scopes: [] }))
  return outcome(
    Effect.flatMap(AuthFile.parse(text, { source: "config.json", legacy }), (file) =>
      Effect.forEach(demands, (demand) =>
        Effect.transposeMapOption(AuthFile.find(file, demand), ({ entry, helper, name }) =>
          Effect.map(Effect.either(entry), (credential) => ({ name, helper, credential }))
        )
      )
    )
  )
}

/** What a helper's output is taken for. */
const helped = (output: Uint8Array, exitCode: number): unknown => {
  const process = {
    stdout: Stream.make(output),
    stderr: Stream.empty,
    exitCode: Effect.succeed(exitCode),
    isRunning: Effect.succeed(false),
    kill: () => Effect.void
  } as unknown as CommandExecutor.Process
  return outcome(
    CredentialHelper.make().pipe(
      Effect.flatMap((helpers) => helpers.get("x", "ghcr.io")),
      Effect.provideService(
        CommandExecutor.CommandExecutor,
        CommandExecutor.makeExecutor(() => Effect.succeed(process))
      )
    )
  )
}

const destinations = ["http://ghcr.io", "https://10.1.2.3:5000", "https://[fd00::1]"]

/**
 * Where requests go if this is in the environment, whose owner may make exceptions that take their
 * time.
 */
const proxied = (value: string): unknown => {
  const settings = ProxySettings.fromEnvironment({
    http_proxy: value,
    HTTPS_PROXY: value,
    NO_PROXY: value.slice(0, 256)
  })
  return destinations.map((url) =>
    Option.map(ProxySettings.proxyFor(settings, new URL(url)), Redacted.value)
  )
}

const decodeJson = Option.liftThrowable((text: string): unknown => JSON.parse(text))

/** What the files of a machine say, and where that leads. */
const machineOf = (text: string): unknown => {
  const document = Option.getOrUndefined(decodeJson(text))
  if (typeof document !== "object" || document === null) return undefined
  const decoded: Readonly<Record<string, unknown>> = { ...document }
  const podman = RegistriesConf.merge([{ source: "a", document: decoded }])
  const machine = { ...podman, ...DaemonJson.parse("b", decoded) }
  const app = Reference.unsafeParseRepositoryName("a/b")
  return ["docker.io", "x.a.test", "b.test:5000"].map((name) => {
    const host = Host.unsafeParse(name)
    return [
      Rules.pull(machine, host, app),
      Rules.isInsecure(machine, host, ["10.0.0.1", "fd00::1"])
    ]
  })
}

export const targets: ReadonlyArray<Target> = [
  {
    name: "Digest.parse",
    tests: "spec/Digest",
    seeds: [sha, sha.toUpperCase(), "sha512:ab", "a+b.c:=_-"],
    run: (s) => [
      outcome(Digest.parse(s)),
      Digest.parsed(s),
      attempt(() => Digest.unsafeParse(s)),
      Digest.isDigest(s),
      Digest.fromBytes(new TextEncoder().encode(s))
    ]
  },
  {
    name: "Reference.parse",
    tests: "spec/Reference",
    seeds: [
      "alpine",
      `ghcr.io/owner/name:tag@${sha}`,
      "localhost:5000/a__b/c-d.e:1.0",
      `[::1]:5000/a@${sha}`,
      "docker.io/library/a"
    ],
    run: (s) => [
      outcome(
        Effect.map(Reference.parse(s), (reference) => [Reference.format(reference), reference])
      ),
      attempt(() => Reference.unsafeParse(s))
    ]
  },
  {
    name: "Host",
    tests: "spec/Host",
    seeds: ["ghcr.io", "Registry.LAN:5000", "index.docker.io:443", "[::1]:80", "0x7f.1:5000"],
    run: (s) => [
      outcome(Host.parse(s)),
      attempt(() => Host.unsafeParse(s)),
      Host.isHost(s),
      outcome(Host.byHost({ [s]: 1, "docker.io": 2 })),
      Host.fromString(s),
      Host.fromString(s, "http"),
      Host.fromUrl(s),
      Host.fromUrl(`https://${s}`),
      Host.isAt(s, `http://${s}`),
      Host.isDockerHub(s),
      Host.isLoopback(s),
      Host.apiHost(s)
    ]
  },
  {
    name: "Reference.parseRepositoryName",
    tests: "spec/Reference",
    seeds: [name, "a-b__c.d/e"],
    run: (s) => [
      outcome(Reference.parseRepositoryName(s)),
      attempt(() => Reference.unsafeParseRepositoryName(s)),
      Reference.isRepositoryName(s)
    ]
  },
  {
    name: "Reference.parseTag",
    tests: "spec/Reference",
    seeds: ["latest", "_v1.0-rc"],
    run: (s) => [
      outcome(Reference.parseTag(s)),
      attempt(() => Reference.unsafeParseTag(s)),
      Reference.isTag(s),
      Reference.isReferrersTag(s)
    ]
  },
  {
    name: "Platform.parse",
    tests: "spec/Platform",
    seeds: ["linux/amd64", "linux/arm/v7", "windows/amd64"],
    run: (s) => [
      outcome(Effect.map(Platform.parse(s), Platform.format)),
      attempt(() => Platform.unsafeParse(s))
    ]
  },
  {
    name: "MediaType",
    tests: "spec/MediaType",
    seeds: [MediaType.imageIndex, 'text/plain; charset="utf-8"'],
    run: (s) => [
      MediaType.essence(s),
      MediaType.isMediaType(s),
      MediaType.isImageConfig(s),
      MediaType.isImageManifest(s),
      MediaType.isIndex(s),
      MediaType.isNonDistributable(s),
      MediaType.equals(s, `${s};a=b`),
      GenericMediaType.isGeneric(s),
      ManifestMediaType.isDecoded(s),
      ManifestMediaType.isManifest(s),
      ManifestMediaType.mayBeDecoded(s)
    ]
  },
  {
    name: "Descriptor (schema)",
    tests: "spec/Descriptor",
    seeds: [layer, config],
    run: json(Descriptor.Descriptor)
  },
  {
    name: "Descriptor.fromBytes",
    seeds: ["{}"],
    run: (s) => Descriptor.fromBytes(new TextEncoder().encode(s), s)
  },
  {
    name: "Platform (schema)",
    tests: "spec/Platform",
    seeds: ['{"os":"linux","architecture":"arm64","os.features":["a"]}'],
    run: json(Platform.Platform)
  },
  {
    name: "ImageLayout (schema)",
    seeds: ['{"imageLayoutVersion":"1.0.0"}'],
    run: json(ImageLayout.ImageLayout)
  },
  {
    name: "DockerArchive",
    seeds: [
      `[{"Config":"a.json","RepoTags":["alpine:3.22"],"Layers":["a/layer.tar","b/layer.tar"]}]`,
      `[{"Config":"a.json","RepoTags":null,"Layers":null}]`
    ],
    run: (input) => {
      const images = DockerArchive.parse(Buffer.from(input))
      if (Either.isRight(images)) {
        const again = DockerArchive.parse(DockerArchive.encode(images.right))
        if (JSON.stringify(again) !== JSON.stringify(images))
          throw new Error("it reads something else of what it wrote")
      }
      return images
    }
  },
  {
    name: "ImageConfig (schema)",
    tests: "spec/ImageConfig",
    seeds: ['{"architecture":"a","os":"b","rootfs":{"type":"layers","diff_ids":[]}}'],
    run: json(ImageConfig.Content)
  },
  {
    name: "ImageConfig",
    tests: "spec/ImageConfig",
    seeds: [
      `{"architecture":"amd64","os":"linux","x":1,"config":{"Env":["A=b"],"Labels":{"__proto__":"a"},"Volumes":{"/a":{}},"Cmd":null},"rootfs":{"type":"layers","diff_ids":["${sha}"]},"history":[{"empty_layer":true},{"created_by":"a"}]}`
    ],
    run: (s) =>
      outcome(
        Effect.flatMap(ImageConfig.fromBytes(new TextEncoder().encode(s)), ({ content }) =>
          Effect.zip(
            ImageConfig.fromBytes(ImageConfig.make(content).bytes),
            Effect.either(ImageConfig.layers(content, [Descriptor.empty]))
          )
        )
      )
  },
  {
    name: "SignedManifest",
    tests: "spec/SignedManifest",
    seeds: [
      `{"schemaVersion":1,"name":"a","tag":"b","architecture":"c","fsLayers":[{"blobSum":"${sha}"}],"history":[{"v1Compatibility":"{"throwaway":true}"}],"signatures":[{"header":{"alg":"ES256","jwk":{"kty":"EC"}},"signature":"a","protected":"eyJmb3JtYXRMZW5ndGgiOjEyLCJmb3JtYXRUYWlsIjoiZlEifQ"}]}`
    ],
    run: (s) => {
      const bytes = new TextEncoder().encode(s)
      return [MediaType.dockerSchema1, MediaType.dockerSchema1Signed, "application/json"].map(
        (mediaType) =>
          outcome(
            Effect.flatMap(Manifest.fromBytes(bytes, { mediaType }), (manifest) =>
              Effect.flatMap(SignedManifest.fromManifest(manifest), (signed) =>
                Effect.all([
                  Effect.either(SignedManifest.layers(signed)),
                  Effect.either(SignedManifest.toImageConfig(signed, [])),
                  SignedManifest.fromManifest(SignedManifest.make(signed.content).manifest)
                ])
              )
            )
          )
      )
    },
    bound: 100_000
  },
  {
    name: "JoseKey",
    tests: "spec/SignedManifest",
    seeds: ["-----BEGIN CERTIFICATE-----\nTUlJ\nQg==\n-----END CERTIFICATE-----\n", "x"],
    run: (s) => {
      const name = JoseKey.fingerprintOf(Buffer.from(s, "latin1"))
      if (!/^([A-Z2-7]{4}:){11}[A-Z2-7]{4}$/.test(name)) throw new Error(`named ${name}`)
      return JoseKey.bodiesOf(s, "CERTIFICATE")
    }
  },
  {
    name: "SignedPayload",
    seeds: ["{}", "a }\n", `{"schemaVersion":1,"signatures":[]}`],
    run: (s) => {
      const bytes = Buffer.from(s, "latin1")
      const [head, tail] = SignedPayload.split(bytes)
      return [
        SignedPayload.hashed(bytes, "application/json"),
        SignedPayload.hashed(bytes, MediaType.dockerSchema1Signed),
        SignedPayload.cut(bytes, {}),
        SignedPayload.typeOf(s, {}),
        SignedPayload.join(head, tail, [])
      ]
    }
  },
  {
    name: "JsonText",
    tests: "spec/JsonText",
    seeds: ['{"a":["\\"[{",{}],"b":null}'],
    run: (s) => {
      const bytes = Buffer.from(s, "latin1")
      return [JsonText.parse(s), JsonText.parseBytes(bytes), JsonText.parseObject(bytes)]
    }
  },
  {
    name: "Annotations (schema)",
    tests: "spec/Annotations",
    seeds: ['{"__proto__":"a","constructor":"b"}'],
    run: json(Annotations.Annotations)
  },
  {
    name: "Manifest.fromBytes",
    tests: "spec/Manifest",
    seeds: [image, index],
    run: (s) => decoded(new TextEncoder().encode(s)),
    bound: 1_500_000
  },
  {
    name: "Manifest.fromBytes, not UTF-8",
    tests: "spec/Manifest",
    seeds: [image, index],
    run: (s) => decoded(Buffer.from(s, "latin1")),
    bound: 1_500_000
  },
  {
    name: "AccessScope",
    tests: "protocol/AccessScope",
    seeds: [`repository:${name}:pull,push`, "registry:catalog:*", "repository(plugin):a:b:*"],
    run: (s) => [
      AccessScope.parse(s),
      AccessScope.canonical(s.split(" ")),
      AccessScope.contains([s, "repository:a:*"], s.split(" "))
    ]
  },
  {
    name: "ByteRange",
    tests: "protocol/ByteRange",
    seeds: ["0-9", "bytes=0-9", "bytes 0-9/10", "bytes */10", "bytes=-5", "10"],
    run: (s) => [
      ByteRange.parseLength(s),
      ByteRange.parseUpload(s),
      ByteRange.parseChunk(s),
      ByteRange.parseRequest(s),
      ByteRange.parseContent(s)
    ]
  },
  {
    name: "Challenge.parse",
    tests: "protocol/Challenge",
    seeds: [
      `Bearer realm="https://auth.example.com/token",service="r",scope="repository:${name}:pull",error="invalid_token"`,
      'Basic realm="a\\"b", Bearer realm=x',
      "Negotiate abc=="
    ],
    run: (s) => {
      const challenges = Challenge.parse(s)
      return [
        challenges,
        Challenge.format(challenges),
        Challenge.select(challenges, { basic: true })
      ]
    }
  },
  {
    name: "ErrorBody.parse",
    tests: "protocol/ErrorBody",
    seeds: [
      '{"errors":[{"code":"DENIED","message":"no","detail":{"a":[1]}}]}',
      '{"details":"x"}',
      "<Error><Code>A</Code><Message>b</Message></Error>",
      "<html>502</html>"
    ],
    run: (s) => {
      const { errors, ...body } = ErrorBody.parse(s)
      const redact = RedactedText.redactor([s.slice(0, 16)])
      return [
        [errors, body, ErrorBody.encode(errors), ErrorBody.parse(Buffer.from(s, "latin1"))],
        ErrorBody.parseRedacted(s, redact)
      ]
    },
    bound: 500_000
  },
  {
    name: "Link",
    tests: "protocol/Link",
    seeds: [
      `</v2/${name}/tags/list?n=2&last=b>; rel="next"`,
      "<https://a/b>; rel=prev; title=\"x\", <c>; rel='next'"
    ],
    run: (s) => {
      const links = Link.parse(s)
      return [links, Link.format(links), Link.next(s), Link.hidesNext(s)]
    },
    bound: 200_000
  },
  {
    name: "SingleField",
    tests: "protocol/SingleField",
    seeds: ['W/"a,b", W/"a,b"', "Wed, 21 Oct 2015 07:28:00 GMT", "/u/1, /u/2"],
    run: (s) => [
      SingleField.value({ field: s }, "field"),
      SingleField.required({ field: s }, "field"),
      SingleField.requiredReference({ field: s }, "field")
    ]
  },
  {
    name: "UrlQuery.ofUrl",
    seeds: ["https://a/b?x='%27'&y=\u20ac#f", "?\ud800"],
    run: UrlQuery.ofUrl,
    // Each of 64 Ki characters can become nine.
    bound: 600_000
  },
  {
    name: "PageTitle",
    seeds: [
      "<!DOCTYPE html>\n<html><head><TITLE lang=en>404 &amp; no more</TITLE></head></html>",
      "<html><body><h1>502 Bad Gateway</h1></body></html>"
    ],
    run: (s) => {
      const body = Buffer.from(s)
      return [PageTitle.of(body, (text) => text), PageTitle.isHtml(body)]
    }
  },
  {
    name: "Warning.parse",
    tests: "protocol/Warning",
    seeds: ['299 - "text"', '299 - "a\\"b", 199 host:1 "c" "date"'],
    run: (s) => {
      const texts = Warning.parse(s)
      return [texts, Warning.format(texts)]
    }
  },
  {
    name: "RetryAfter",
    tests: "protocol/RetryAfter",
    seeds: ["120", "Wed, 21 Oct 2015 07:28:00 GMT", "retry-after: 1.5ms", "retry after 3s"],
    run: (s) => [RetryAfter.parse(s, 1_445_412_480_000), RetryAfter.fromMessage(s)]
  },
  {
    name: "RedactedText",
    tests: "protocol/RedactedText",
    seeds: ["hunter2 %68unter2 &#104;unter2", "Authorization: Basic YWxpY2U6aHVudGVyMg=="],
    run: (s) => RedactedText.redactor(["hunter2", "YWxpY2U6aHVudGVyMg==", s.slice(0, 16)])(s)
  },
  {
    name: "ServerText",
    seeds: ["a\u001b[31mb\u202e\u2028c\ud800", "text/html; charset=utf-8"],
    run: (s) => [ServerText.plain(s, 128), ServerText.quoted(s), ServerText.escaped(s)]
  },
  {
    name: "RedactedUrl.secretsOf",
    seeds: ["https://u:p@s3.example/b?X-Amz-Signature=abcdefgh&digest=b#f", "/v2/?5ecre7=="],
    run: RedactedUrl.secretsOf
  },
  {
    name: "RedactedUrl.redact",
    seeds: ["https://u:p@s3.example/b?X-Amz-Signature=a&digest=b#f", "/v2/?n=1"],
    run: RedactedUrl.redact,
    bound: 1100
  },
  {
    name: "RequestTemplate",
    seeds: [
      "/v2/<name>/manifests/<reference>",
      "v2/<name>/blobs/<digest>?x=%41",
      "/v2/<name>/blobs/uploads/<session_id>",
      "/v2/a/%2e./<repo>#b"
    ],
    run: (s) => {
      const values = { name: s, reference: s, digest: s, session_id: s }
      const filled = [
        RequestTemplate.fill(s, { name, reference: "latest", digest: sha, session_id: "a/b" }),
        ...placeholders.map((placeholder) => RequestTemplate.fill(`/x/<${placeholder}>/y`, values))
      ]
      // What comes out is a path of the registry and of nobody else.
      for (const path of filled)
        if (Either.isRight(path)) {
          const { href } = new URL(`https://registry.example.com${path.right}`)
          if (`https://registry.example.com${path.right}` !== href.replaceAll("%27", "'"))
            throw new Error(`another URL than ${path.right}: ${href}`)
        }
      return filled
    },
    bound: 20 * 64 * 1024
  },
  {
    name: "Route.match",
    tests: "protocol/Route",
    seeds: [
      `/v2/${name}/manifests/latest`,
      `/v2/${name}/blobs/${sha}`,
      `/v2/${name}/blobs/uploads/id`,
      "/v2/_catalog",
      "/v2/"
    ],
    run: (s) => Route.match(s)
  },
  {
    name: "Trust",
    tests: "protocol/Trust",
    seeds: [
      "https://registry.example.com/v2/a",
      "http://127.0.0.1:5000/",
      "//auth.example.com/token",
      "/v2/x?y=z",
      "auth.example.com:443",
      "[::ffff:7f00:1]"
    ],
    run: judged,
    bound: 20 * 64 * 1024
  },
  {
    name: "Operation.fromRequest",
    tests: "protocol/Operation",
    seeds: [
      `GET\n/v2/${name}/manifests/latest\naccept: ${MediaType.imageIndex}`,
      `PUT\n/v2/${name}/manifests/1?tag=a&tag=b\ncontent-type: ${MediaType.imageManifest}`,
      `POST\n/v2/${name}/blobs/uploads/?mount=${sha}&from=a/b\ncontent-length: 0`,
      `PATCH\n/v2/${name}/blobs/uploads/id?_state=x\ncontent-range: 0-9\ncontent-length: 10`,
      `GET\n/v2/${name}/blobs/${sha}\nrange: bytes=1-2`,
      `GET\n/v2/${name}/referrers/${sha}?artifactType=a%2Fb`,
      `GET\n/v2/${name}/tags/list?n=10&last=b`
    ],
    run: received,
    // A character may take nine in a URL.
    bound: 20 * 64 * 1024
  },
  {
    name: "ContentDecoding.parse",
    seeds: ["gzip", "gzip, deflate", "identity"],
    run: (s) => ContentDecoding.parse(s)
  },
  {
    name: "RateLimit.fromHeaders",
    seeds: ["100;w=21600", "20;w=21600", "4999"],
    run: (s) =>
      RateLimit.fromHeaders(
        Headers.fromInput({
          "ratelimit-limit": s,
          "ratelimit-remaining": s,
          "x-ratelimit-limit": s,
          "ratelimit-reset": s,
          "x-ratelimit-remaining": s,
          "x-ratelimit-reset": s
        }),
        0
      )
  },
  {
    name: "AuthFile.parse",
    tests: "auth/AuthFile",
    seeds: [
      '{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi","identitytoken":"t"},"ghcr.io/a":{"username":"a","password":"b"}},"credHelpers":{"gcr.io":"gcloud"},"credsStore":"desktop"}',
      '{"registry.example.com":{"auth":"YWxpY2U6aHVudGVyMg==","email":""}}'
    ],
    run: (s) => [credentialsIn(s, false), credentialsIn(s, true)]
  },
  {
    name: "MachineRegistries",
    tests: "node/MachineRegistries",
    seeds: [
      '{"registry":[{"prefix":"*.a.test","location":"b.test:5000/c","insecure":true,"mirror":[{"location":"d.test","pull-from-mirror":"tag-only"}]}],"aliases":{"a":"b.test/a"},"unqualified-search-registries":["docker.io"],"short-name-mode":"enforcing"}',
      '{"registry-mirrors":["https://a.test/b"],"insecure-registries":["10.0.0.0/8","fd00::/8","a.test:5000"]}'
    ],
    run: machineOf
  },
  {
    name: "TokenServer",
    tests: "auth/TokenServer",
    seeds: [
      '{"token":"a","access_token":"","expires_in":1800,"issued_at":"2026-01-02T03:04:05.678Z","refresh_token":"r"}',
      '{"access_token":"a","expires_in":"300","issued_at":"2026-01-02T03:04:05+01:00"}',
      '{"error":"invalid_grant","error_description":"no"}',
      '{"details":"incorrect username or password"}'
    ],
    run: (s) => {
      const body = new TextEncoder().encode(s)
      const token = TokenResponse.parseToken(body, 1_767_323_045_678)
      return [
        token && [Redacted.value(token.value), new Date(token.expiresAt).toISOString()],
        token?.refreshToken && Redacted.value(token.refreshToken),
        TokenResponse.parseError(body)
      ]
    }
  },
  {
    name: "CredentialHelper",
    tests: "auth/CredentialHelper",
    seeds: [
      '{"ServerURL":"ghcr.io","Username":"alice","Secret":"hunter2"}',
      '{"Username":"<token>","Secret":"t"}',
      "credentials not found in native keychain\n"
    ],
    run: (s) => helped(new TextEncoder().encode(s), s.startsWith("credentials") ? 1 : 0)
  },
  {
    name: "ProxySettings",
    tests: "node/ProxySettings",
    seeds: [
      "http://alice:hunter2@proxy.lan:3128",
      "localhost,.lan, *.example.com 10.0.0.0/8 ghcr.io:443",
      "[fd00::]/8,fd00::1,::ffff:10.1.2.3,*"
    ],
    run: proxied
  },
  {
    name: "FieldValue",
    tests: "protocol/Challenge",
    seeds: ['"a\\"b", token=value'],
    run: (s) => [
      FieldValue.skip(s, 0, FieldValue.isSeparator),
      FieldValue.skip(s, 0, FieldValue.isSpace),
      FieldValue.hasControl(s),
      FieldValue.token(s, 0),
      FieldValue.value(s, 0, ","),
      FieldValue.quote(s),
      ServerText.plain(s, 64)
    ]
  },
  {
    name: "texts (schemas)",
    tests: "protocol/Challenge",
    seeds: [sha, name, "v1", `ghcr.io/a/b@${sha}`],
    run: (s) => schemas.map((read) => read(s))
  },
  {
    name: "UploadState (schema)",
    tests: "Transfer",
    seeds: ['{"repository":"a/b","location":"/v2/a/b/blobs/uploads/1?_state=x","offset":10}'],
    run: json(UploadState)
  },
  {
    name: "TarReader",
    seeds: archives.map((archive) => Buffer.from(archive).toString("latin1")),
    run: entriesOf,
    bound: 262_144
  },
  {
    name: "TarPath",
    tests: "spec/TarReader",
    seeds: ["etc/passwd", "/../a", "./", "a\udcff"],
    run: (s) => {
      const bytes = Buffer.from(s, "latin1")
      const path = TarPath.resolve(s)
      if (!Buffer.from(TarPath.encode(TarPath.decode(bytes))).equals(bytes))
        throw new Error("a name does not come out as it came in")
      if ("path" in path && path.path.split("/").includes("..")) throw new Error("leads out")
      if (TarPath.isUtf8(s) !== (Buffer.from(s).toString() === s)) throw new Error("no UTF-8")
      if (TarPath.isTooLong(s) !== TarPath.encode(s).length >= 4096) throw new Error("length")
      const ascii = new Uint8Array(s.length)
      if (TarPath.putAscii(ascii, 0, s) && Buffer.from(ascii).toString("latin1") !== s)
        throw new Error("other bytes than those of the text")
      return path
    }
  },
  {
    name: "ZstdFrames",
    seeds: [
      "(\xb5/\xfd\x04\x58\x29\x00\x00hello\x01\x02\x03\x04",
      "\x50*M\x18\x04\x00\x00\x00skip(\xb5/\xfd\x20\x05\x29\x00\x00hello"
    ],
    run: (s) => {
      const cutter = ZstdFrames.make()
      const pieces = cutter.push(Buffer.from(s, "latin1"))
      let size = 0
      let piece = pieces.next()
      for (; piece.done !== true; piece = pieces.next()) size += piece.value.bytes.length
      if (size > s.length) throw new Error("more came out than went in")
      return [piece.value, cutter.end()]
    }
  }
]

/** The seeds of a target: its own count for as much as all those of the tests. */
export const seedsFor = ({ seeds, tests }: Target): ReadonlyArray<string> => {
  const theirs = tests === undefined ? [] : seedsOf(tests)
  const times = Math.max(1, Math.floor(theirs.length / seeds.length))
  return [...theirs, ...Array.from({ length: times }, () => seeds).flat()]
}

/** How many characters a value holds. */
export const sizeOf = (value: unknown): number => {
  let size = 0
  const visit = (value: unknown): void => {
    if (typeof value === "string") size += value.length
    else if (value instanceof Map || Array.isArray(value)) for (const item of value) visit(item)
    else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value))
      for (const [key, item] of Object.entries(value)) {
        size += key.length
        visit(item)
      }
  }
  visit(value)
  return size
}

/** What is wrong with a result, if anything. */
export const excess = (target: Target, input: string, value: unknown): string | undefined => {
  const size = sizeOf(value)
  const bound = target.bound ?? 4 * input.length + 2048
  return size <= bound ? undefined : `the result holds ${size} characters, more than ${bound}`
}
