/**
 * The suite of `Registry` over the client in front of the embedded server, with the quirks of each
 * registry: a few of them here, and all of them by `npm run quirks`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Quirks from "../../src/server/Quirks.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { registrySuite, type Supports } from "../suites/registry.js"

const users = { alice: Redacted.make("wonderland") }

interface Profile {
  readonly quirks: Quirks.Quirks
  /** Those that have no tokens take passwords. */
  readonly takes?: "passwords"
  /** In which it is no registry as the specification has it, whatever client there is. */
  readonly supports?: Partial<Supports>
}

const noDeletes: Partial<Supports> = { tagDelete: false, manifestDelete: false, blobDelete: false }

/**
 * What fails by intention is left out here, and has rows of its own in the tables of quirks: parts
 * that are too small, closing PUTs that fail and are sent again, manifests that still have tags,
 * blobs of which a HEAD tells nothing, referrers tags that lead elsewhere, errors that do not say
 * what they are, types that are refused, streams that are appended without a range.
 */
const profiles: Readonly<Record<string, Profile>> = {
  dockerHub: {
    quirks: { ...Quirks.dockerHub, taggedDelete: undefined },
    supports: { tagDelete: false, catalog: false, staleLocations: false }
  },
  ghcr: {
    quirks: { ...Quirks.ghcr, signedForGet: undefined },
    supports: { ...noDeletes, catalog: false, tagPaging: false }
  },
  ecr: {
    quirks: { ...Quirks.ecr, minPart: undefined, emptyPut: undefined },
    takes: "passwords",
    supports: {
      ...noDeletes,
      mounts: false,
      mountFromAnywhere: false,
      uploadStatus: false,
      sha512Read: false
    }
  },
  gcr: {
    quirks: { ...Quirks.gcr, taggedDelete: undefined },
    supports: { tagPaging: false, chunks: false, uploadStatus: false }
  },
  acr: { quirks: Quirks.acr, supports: { tagDelete: false } },
  quay: {
    quirks: Quirks.quay,
    supports: {
      blobDelete: false,
      mountFromAnywhere: false,
      tagPaging: false,
      uploadStatus: false
    }
  },
  harbor: {
    quirks: Quirks.harbor,
    supports: { tagDelete: false, mounts: false, mountFromAnywhere: false }
  },
  gitlab: {
    quirks: { ...Quirks.gitlab, digestTags: undefined },
    supports: {
      tagDelete: false,
      mountFromAnywhere: false,
      sha512Manifests: false,
      staleLocations: false
    }
  },
  artifactory: { quirks: { ...Quirks.artifactory, errors: undefined } },
  nexus: { quirks: Quirks.nexus, takes: "passwords" },
  gitea: { quirks: { ...Quirks.gitea, errors: undefined, numbersChunks: undefined } },
  // Nothing less than 5 MiB is sent before the end.
  cloudflare: { quirks: Quirks.cloudflare, takes: "passwords", supports: { uploadStatus: false } },
  zot: { quirks: { ...Quirks.zot, manifestTypes: undefined }, takes: "passwords" },
  distribution2: {
    quirks: Quirks.distribution2,
    supports: {
      ...noDeletes,
      tagPaging: false,
      atomicPuts: false,
      mountFromAnywhere: false,
      sha512Manifests: false,
      staleLocations: false
    }
  },
  distribution3: {
    quirks: Quirks.distribution3,
    supports: {
      ...noDeletes,
      atomicPuts: false,
      mountFromAnywhere: false,
      sha512Manifests: false,
      staleLocations: false
    }
  }
}

/** Those that differ most from each other. */
const sample = ["ecr", "gitlab"]

const wanted = process.env["QUIRKS"]?.split(",") ?? sample

for (const [name, { quirks, supports = {}, takes }] of Object.entries(profiles))
  if (wanted.includes("all") || wanted.includes(name))
    registrySuite(`client over ${name}`, {
      layer: RegistryClient.layer({
        url: "https://registry.test",
        trust: { allowTokens: ["auth.docker.io"] },
        retry: { base: "1 millis", maxDelay: "1 millis" }
      }).pipe(
        Layer.provide(
          Layer.unwrapEffect(
            Effect.gen(function* () {
              const authorization =
                takes === "passwords"
                  ? ServerAuthorization.basic({ users })
                  : yield* ServerAuthorization.token({ users })
              return RegistryServer.layerTest({ authorization, quirks })
            })
          )
        ),
        Layer.provide([
          MemoryRegistry.layer(),
          TokenCache.layerMemory,
          Credentials.layerBasic({
            host: "registry.test",
            username: "alice",
            password: users.alice
          })
        ])
      ),
      supports,
      largeBlob: 1024 * 1024
    })
