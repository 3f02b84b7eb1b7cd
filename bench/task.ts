/** One measurement or reference: a function that is run alone in a process of its own. */

/** Where the server is, and what it serves. */
export interface Given {
  readonly url: string
  /** The same over TLS, with a certificate that nobody knows. */
  readonly tlsUrl: string
  readonly digest: string
}

/** Where it ends in a number, so many of its seconds do not count. */
export type Task = (given: Given) => Promise<unknown>

export type Tasks = Readonly<Record<string, Task>>

/** How many small blobs, how many manifests, and how many at a time. */
export const small = 2000
export const many = 5000
export const concurrency = 16

/** Does the work of all items, so many at a time. */
export const concurrently = async <A>(
  items: IterableIterator<A>,
  work: (item: A) => Promise<void>
): Promise<void> => {
  const worker = async () => {
    // All of them take from the same iterator.
    for (const item of items) await work(item)
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}

export const blobUrl = ({ digest, url }: Given): string => `${url}/v2/bench/blobs/${digest}`

/** So many small blobs, each another one. */
export const smallBytes = (block: Uint8Array, n: number): Uint8Array => {
  const bytes = Buffer.from(block)
  bytes.writeUInt32LE(n)
  return bytes
}
