/**
 * Arrays whose memory is used again once it was sent. An HTTP client that can tell when the
 * connection has taken all of an array tells it here: a response does not say so, since a registry
 * can answer before it has got everything.
 */

/**
 * An array as the body of one request, for a client that asks for what comes after it when the
 * connection has taken it, or is closed. `close` is called when the response is over.
 */
export class ArrayBody implements Iterable<Uint8Array> {
  /** Whether the memory is not needed any more. */
  isDone = false
  /** Whether there was a response before the connection had taken the whole. */
  isCutOff = false

  constructor(private readonly bytes: Uint8Array) {}

  *[Symbol.iterator](): Iterator<Uint8Array> {
    yield this.bytes
    this.isDone = true
  }

  close(): void {
    this.isCutOff = !this.isDone
  }
}

/** The requests that a client has told of, by the memory that they send. */
const requests = new WeakMap<ArrayBufferLike, Array<ArrayBody>>()

/**
 * From so many bytes on, an array is more than a connection holds for itself: a smaller one may
 * seem to be taken while it is not.
 */
const least = 1024 * 1024

/** An array as the body of a request: as it is, unless its memory is to be used again. */
export const body = (bytes: Uint8Array): Uint8Array | ArrayBody => {
  const known = requests.get(bytes.buffer)
  if (known === undefined) return bytes
  if (bytes.length < least) {
    requests.delete(bytes.buffer)
    return bytes
  }
  const request = new ArrayBody(bytes)
  known.push(request)
  return request
}

/** Whether the last request with an array was sent to its end, as far as a client has told. */
export const isPassedOn = ({ buffer }: Uint8Array): boolean =>
  requests.get(buffer)?.at(-1)?.isCutOff !== true

/** The arrays of one upload, which are used again where `isReusing`. */
export class SentArrays {
  private readonly idle: Array<ArrayBuffer> = []

  constructor(private readonly isReusing: boolean) {}

  /** An array of this length that nobody has. */
  take(length: number): Uint8Array {
    const at = this.idle.findIndex(({ byteLength }) => byteLength >= length)
    const [buffer = new ArrayBuffer(length)] = at < 0 ? [] : this.idle.splice(at, 1)
    if (this.isReusing && length >= least) requests.set(buffer, [])
    return new Uint8Array(buffer, 0, length)
  }

  /**
   * Gives back an array that was taken, whatever part of it was sent. Unless every request with it
   * is known to be over, it is not used again.
   */
  giveBack({ buffer }: Uint8Array): void {
    const known = requests.get(buffer) ?? []
    requests.delete(buffer)
    if (buffer instanceof ArrayBuffer && known.length > 0 && known.every(({ isDone }) => isDone))
      this.idle.push(buffer)
  }
}
