/** The last bytes of downloads in progress, in memory, where their readers follow them. */

/** In bytes: what a piece counts at least, however short it is. */
const least = 512

/** In bytes: what is handed out at a time, or one piece. */
const most = 1024 * 1024

/** Bytes of a window, by their offset in the blob. */
interface Piece {
  readonly window: Window
  readonly offset: number
  readonly bytes: Uint8Array
}

/** The memory that all windows share: the oldest bytes go first when there are too many. */
export class Windows {
  /** In the order in which they arrived. */
  private readonly pieces = new Set<Piece>()
  private size = 0

  /** `limit` is in bytes. */
  constructor(private readonly limit: number) {}

  add(piece: Piece): void {
    this.pieces.add(piece)
    this.size += charge(piece)
    for (const oldest of this.pieces) {
      if (this.size <= this.limit) break
      this.remove(oldest)
      oldest.window.dropOldest()
    }
  }

  remove(piece: Piece): void {
    if (this.pieces.delete(piece)) this.size -= charge(piece)
  }
}

const charge = ({ bytes }: Piece): number => Math.max(bytes.length, least)

/** The last bytes of one download. */
export class Window {
  private pieces: Array<Piece> = []

  constructor(private readonly windows: Windows) {}

  /** Takes the bytes that follow. The array is kept. */
  append(offset: number, bytes: Uint8Array): void {
    const piece = { window: this, offset, bytes }
    this.pieces.push(piece)
    this.windows.add(piece)
  }

  dropOldest(): void {
    this.pieces.shift()
  }

  clear(): void {
    for (const piece of this.pieces) this.windows.remove(piece)
    this.pieces = []
  }

  /**
   * Copies of the bytes from a position on; none where they are gone or not there yet. The last
   * piece comes alone: whoever verifies holds back what came last.
   */
  from(position: number): Array<Uint8Array> {
    const out: Array<Uint8Array> = []
    let at = position
    const first = this.indexOf(position)
    for (const [n, piece] of this.pieces.slice(first, first + most / least).entries()) {
      const isLast = first + n === this.pieces.length - 1
      const isFitting = !isLast && at - position + piece.bytes.length <= most
      if (out.length > 0 && !isFitting) break
      out.push(piece.bytes.slice(at - piece.offset))
      at = piece.offset + piece.bytes.length
    }
    return out
  }

  /** The index of the piece with the byte at a position; that after the last where none has it. */
  private indexOf(position: number): number {
    let low = 0
    let high = this.pieces.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const piece = this.pieces[middle]
      if (piece === undefined || piece.offset > position) high = middle - 1
      else if (piece.offset + piece.bytes.length <= position) low = middle + 1
      else return middle
    }
    return this.pieces.length
  }
}
