/**
 * Connections whose sockets read into the buffers of a pool, up to a mebibyte at a time, where Node
 * allocates 64 KiB for each read (16 KiB over TLS) that the garbage collector has to find. To all
 * others they are ordinary sockets.
 */
import { Socket } from "node:net"
import { buildConnector } from "@effect/platform-node/Undici"
import { type Block, type BufferPool, largest, settle, smallest } from "./BufferPool.js"

/** Whether sockets are those of Node: others fill such buffers in ways of their own. */
export const isSupported = !("bun" in process.versions || "deno" in process.versions)

/** As many bytes come out of TLS at once, when there are more. */
const record = 16 * 1024

/** Less than this is not worth a read. */
const least = 4 * 1024

/** The option `onread` of one socket. */
export class Reading {
  socket: Socket | undefined
  private block: Block
  private at = 0

  constructor(
    private readonly pool: BufferPool,
    private readonly isSecure: boolean
  ) {
    this.block = pool.take(smallest)
  }

  /**
   * Where the next bytes go. Node asks right after each read, and reads into what it had before
   * where it gets nothing.
   */
  readonly buffer = (): Buffer => this.block.bytes.subarray(this.at)

  /** Takes what was read, as Node itself would: when to stop is for the stream to say. */
  readonly callback = (count: number, into: Uint8Array): boolean => {
    const bytes = this.block.bytes.subarray(this.at, this.at + count)
    this.at += count
    this.advance(count === into.length || (this.isSecure && count === record))
    return this.socket?.push(bytes) ?? true
  }

  /**
   * Goes on to a larger block when one is full, and to one of the smallest when a read found less
   * than there was room for: the connection may be idle from now on.
   */
  private advance(isMore: boolean): void {
    const { length } = this.block.bytes
    if (length - this.at >= least && (isMore || length === smallest)) return
    const next = this.pool.take(isMore ? Math.min(length * 4, largest) : smallest)
    settle(this.block, { isFilling: false })
    this.block = next
    this.at = 0
  }
}

/**
 * Makes connections as `buildConnector` of undici does, one TLS session for all. Sockets that Node
 * does not make by itself, as those inside of a tunnel, cannot read into buffers of others.
 */
export const connector = (
  pool: BufferPool,
  options: buildConnector.BuildOptions
): buildConnector.connector => {
  let session: Buffer | undefined
  return (target, callback) => {
    const onread = new Reading(pool, target.protocol === "https:")
    const connect = buildConnector({ ...options, ...(session && { session }), onread })
    const socket: unknown = connect(target, callback)
    if (!(socket instanceof Socket)) return
    onread.socket = socket
    socket.on("session", (made: Buffer) => {
      session = made
    })
  }
}
