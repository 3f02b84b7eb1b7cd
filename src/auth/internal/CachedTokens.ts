/** Tokens in memory: by what they are for, the oldest of a thousand forgotten first. */
import { put } from "./Oldest.js"

/** In milliseconds: a token that ends sooner may end on its way, and is not used. */
export const margin = 5000

interface Entry {
  readonly issue: string
  readonly expiresAt: number
}

/** Tokens by their ids, and by issue, so that none of another issue is looked at. */
export class CachedTokens<A extends Entry> {
  private readonly all = new Map<string, A>()
  private readonly issues = new Map<string, Map<string, A>>()
  /** No token ends before. */
  private nextEnd = Number.POSITIVE_INFINITY

  get(id: string): A | undefined {
    return this.all.get(id)
  }

  /** The tokens of an issue, the oldest first. */
  ofIssue(issue: string): Iterable<A> {
    return this.issues.get(issue)?.values() ?? []
  }

  entries(): Iterable<[id: string, token: A]> {
    return this.all
  }

  /** Sets a token, and drops those that have ended. */
  put(id: string, token: A, now: number): void {
    if (this.nextEnd <= now) this.dropEnded(now)
    this.delete(id)
    put(this.all, id, token, (oldest) => this.delete(oldest))
    const others = this.issues.get(token.issue) ?? new Map<string, A>()
    this.issues.set(token.issue, others.set(id, token))
    this.nextEnd = Math.min(this.nextEnd, token.expiresAt)
  }

  delete(id: string): void {
    const token = this.all.get(id)
    if (token === undefined) return
    this.all.delete(id)
    const others = this.issues.get(token.issue)
    others?.delete(id)
    if (others?.size === 0) this.issues.delete(token.issue)
  }

  private dropEnded(now: number): void {
    this.nextEnd = Number.POSITIVE_INFINITY
    for (const [id, { expiresAt }] of this.all)
      if (expiresAt <= now) this.delete(id)
      else this.nextEnd = Math.min(this.nextEnd, expiresAt)
  }
}
