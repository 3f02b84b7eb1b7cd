/**
 * The floor of copies and of folders: the same requests by undici and node:crypto alone, with no
 * retry, no login, and nothing asked that need not be.
 */
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Undici from "undici"
import { downloadFile } from "./content.js"
import { folderFiles } from "./folder.js"
import { concurrently, type Tasks } from "./task.js"

interface Descriptor {
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
}

interface Document {
  readonly config?: Descriptor
  readonly layers?: ReadonlyArray<Descriptor>
  readonly manifests?: ReadonlyArray<Descriptor>
}

const octets = "application/octet-stream"
const title = "org.opencontainers.image.title"

const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const answered = async (url: string | URL, options: { readonly method: "HEAD" | "POST" }) => {
  const { body, headers, statusCode } = await Undici.request(url, options)
  await body.dump()
  return { headers, statusCode }
}

type Body = Uint8Array | AsyncIterable<Uint8Array>

const put = async (
  url: string | URL,
  body: Body,
  headers: Readonly<Record<string, string>>
): Promise<void> => {
  // The types of undici do not know that it takes what is iterated.
  const response = await Undici.request(url, { method: "PUT", body: body as Uint8Array, headers })
  await response.body.dump()
  if (response.statusCode !== 201) throw new Error(`${url}: ${response.statusCode}`)
}

/** Uploads a blob that is not there. */
const upload = async (
  repository: string,
  { digest, size }: Descriptor,
  body: () => Promise<Body>
) => {
  const { statusCode } = await answered(`${repository}/blobs/${digest}`, { method: "HEAD" })
  if (statusCode === 200) return
  const { headers } = await answered(`${repository}/blobs/uploads/`, { method: "POST" })
  const location = new URL(String(headers["location"]), repository)
  location.searchParams.set("digest", digest)
  await put(location, await body(), {
    "content-length": String(size),
    "content-type": octets
  })
}

async function* verified(blob: Descriptor, body: AsyncIterable<Uint8Array>) {
  const hash = createHash("sha256")
  for await (const bytes of body) {
    hash.update(bytes)
    yield bytes
  }
  if (`sha256:${hash.digest("hex")}` !== blob.digest) throw new Error(`not ${blob.digest}`)
}

/** Copies `v1` from one repository into another, such as `http://host/v2/name`. */
export const copy = async (from: string, to: string): Promise<void> => {
  const seen = new Set<string>()
  const isNew = ({ digest }: Descriptor) => !seen.has(digest) && seen.add(digest) !== undefined
  const one = async (reference: string): Promise<void> => {
    const { body, headers } = await Undici.request(`${from}/manifests/${reference}`, {
      headers: {
        accept:
          "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
      }
    })
    const bytes = new Uint8Array(await body.arrayBuffer())
    const document = JSON.parse(Buffer.from(bytes).toString()) as Document
    for (const { digest } of document.manifests ?? []) await one(digest)
    const blobs = [document.config ?? [], document.layers ?? []].flat().filter(isNew)
    await concurrently(blobs.values(), (blob) =>
      upload(to, blob, async () =>
        verified(blob, (await Undici.request(`${from}/blobs/${blob.digest}`)).body)
      )
    )
    await put(`${to}/manifests/${reference}`, bytes, {
      "content-type": String(headers["content-type"])
    })
  }
  await one("v1")
}

export const tasks: Tasks = {
  "push folder as files": async ({ url }) => {
    await concurrently(folderFiles().values(), async (path) => {
      const bytes = await Fs.promises.readFile(path)
      const blob = { digest: sha256(bytes), size: bytes.length }
      await upload(`${url}/v2/bench`, blob, async () => bytes)
    })
  },
  "pull folder as files": async ({ url }) => {
    const { body } = await Undici.request(`${url}/v2/bench/manifests/files`)
    const { layers = [] } = (await body.json()) as Document
    Fs.mkdirSync(downloadFile)
    await concurrently(layers.values(), async ({ annotations, digest }) => {
      const { body } = await Undici.request(`${url}/v2/bench/blobs/${digest}`)
      const bytes = new Uint8Array(await body.arrayBuffer())
      if (sha256(bytes) !== digest) throw new Error(`not ${digest}`)
      await Fs.promises.writeFile(Path.join(downloadFile, annotations?.[title] ?? ""), bytes)
    })
    Fs.rmSync(downloadFile, { recursive: true })
  }
}
