/** The policy of uploads, without any upload: what follows on what. */
import { assert, describe, it } from "@effect/vitest"
import * as SourceFailure from "../../src/client/blobs/SourceFailure.js"
import { failureOf } from "../../src/client/blobs/UploadFailure.js"
import { type Piece, pieceOf } from "../../src/client/blobs/UploadPiece.js"
import * as UploadPlan from "../../src/client/blobs/UploadPlan.js"
import { RegistryFailure, TransportFailure } from "../../src/RegistryError.js"

interface Problem extends UploadPlan.Failure {
  readonly _tag: string
}

type State = UploadPlan.State<Problem>
type Outcome = UploadPlan.Outcome<Problem>

const size = 1_000_000

/** More than memory should hold of a chunk, in bytes. */
const large = 20_000_000

const problem = (_tag: string, status?: number): Problem => ({ _tag, status })
const failure = (status: number): Problem => new RegistryFailure({ status })
const broken: Problem = new TransportFailure({ reason: "Reset" })
const unavailable = failure(503)
const unsupported = problem("Unsupported", 405)
const tooLarge = failure(413)
const lengthRequired = failure(411)
const gone = problem("UploadUnknown", 404)
const outOfRange = problem("RangeMismatch", 416)

const options = {
  strategy: "auto",
  chunkSize: undefined,
  isKept: false,
  hasLeft: false,
  content: { size, hasDigest: true, replayable: true, inMemory: false },
  habits: { refusedFrom: {}, sendsLength: true }
} as const

const started = (change: Partial<Parameters<typeof UploadPlan.start<Problem>>[0]> = {}): State =>
  UploadPlan.start<Problem>({ ...options, ...change }, undefined)

const session: UploadPlan.Session = {
  bounds: {},
  isAdopted: false,
  offset: 0,
  seen: 0,
  verified: false,
  acknowledged: 0,
  isDoubtful: false,
  isCertain: false,
  isResumed: false,
  isClosing: false
}

/** In a phase, with a session that is as it says. */
const at = (
  phase: UploadPlan.Phase,
  change: Partial<State> = {},
  inSession: Partial<UploadPlan.Session> = {}
): State => ({
  ...started(),
  phase,
  form: "patch",
  session: { ...session, ...inSession },
  ...change
})

const failed = (
  kind: UploadPlan.FailureKind,
  error: Problem,
  progress?: Partial<UploadPlan.Progress>
): Outcome => ({
  kind,
  error,
  progress: progress && { offset: 0, seen: 0, verified: false, ...progress }
})

const fault = (kind: UploadPlan.FailureKind, error: Problem) => ({ kind, error, offset: 0 })

describe("the form of an upload", () => {
  const content = options.content
  const rows: ReadonlyArray<
    readonly [string, Parameters<typeof started>[0], UploadPlan.Phase, UploadPlan.Form | undefined]
  > = [
    ["put, where digest and size are known", {}, "opening", "put"],
    [
      "patch, where the digest is not",
      { content: { ...content, hasDigest: false } },
      "opening",
      "patch"
    ],
    [
      "patch, where the size is not",
      { content: { ...content, size: undefined } },
      "opening",
      "patch"
    ],
    [
      "of a small blob, single, from memory",
      { content: { ...content, size: 5 } },
      "gathering",
      undefined
    ],
    [
      "that is in memory already",
      { content: { ...content, size: 5, inMemory: true } },
      "sending",
      "single"
    ],
    [
      "of no bytes, put, whose digest is to be computed",
      { content: { ...content, size: 0, hasDigest: false } },
      "measuring",
      "put"
    ],
    ["the one asked for", { strategy: "chunked" }, "opening", "chunked"],
    [
      "that needs to be measured",
      { strategy: "direct", content: { ...content, hasDigest: false } },
      "measuring",
      "direct"
    ],
    [
      "another one where one was refused",
      { habits: { refusedFrom: { put: 0 }, sendsLength: true } },
      "opening",
      "patch"
    ],
    [
      "but for larger blobs",
      { habits: { refusedFrom: { put: size + 1 }, sendsLength: true } },
      "opening",
      "put"
    ],
    ["patch, where a later upload may go on", { isKept: true }, "opening", "patch"],
    ["not asked, where there is something to go on with", { hasLeft: true }, "resuming", undefined],
    [
      "none where all were refused",
      { habits: { refusedFrom: { put: 0, patch: 0, chunked: 0 }, sendsLength: true } },
      "failed",
      undefined
    ]
  ]
  for (const [name, change, phase, form] of rows)
    it(`is ${name}`, () => {
      const state = started(change)
      assert.deepStrictEqual([state.phase, state.form], [phase, form])
    })
})

describe("what follows", () => {
  const whole = at("sending", { form: "single", session: undefined })
  const sent = { offset: 0, seen: size, verified: true }
  const rows: ReadonlyArray<
    readonly [
      name: string,
      state: State,
      outcome: Outcome,
      phase: UploadPlan.Phase,
      more?: Partial<Pick<State, "form" | "waits" | "resumesAt">> & {
        readonly session?: Partial<UploadPlan.Session> | undefined
      }
    ]
  > = [
    // Blobs that need no upload
    ["a mount: it is looked for", at("mounting"), { kind: "stored" }, "finding"],
    [
      "a mount refused: it is looked for",
      at("mounting"),
      failed("refused", problem("Denied", 403)),
      "finding"
    ],
    [
      "a mount that opened a session: it is used",
      at("mounting"),
      { kind: "opened", bounds: {} },
      "appending",
      { form: "put", session: { isAdopted: true } }
    ],
    [
      "a mount in trouble: again",
      at("mounting"),
      failed("temporary", unavailable),
      "mounting",
      { waits: true }
    ],
    ["a mount that failed", at("mounting"), failed("failed", problem("InvalidUrl")), "failed"],
    ["a blob that is there: nothing", at("finding"), { kind: "present" }, "done"],
    [
      "a blob that is not: the form",
      at("finding", { session: undefined }),
      { kind: "absent" },
      "opening",
      { form: "put" }
    ],
    // Whole blobs
    ["a blob sent: nothing", whole, { kind: "stored" }, "done"],
    [
      "a POST that opened a session: it is used in another form",
      whole,
      { kind: "opened", bounds: {}, error: unsupported },
      "appending",
      { form: "put", session: { isAdopted: true } }
    ],
    [
      "a POST refused: another form",
      whole,
      failed("refused", unsupported),
      "opening",
      { form: "put" }
    ],
    [
      "a POST cut off: again",
      whole,
      failed("temporary", broken),
      "sending",
      { waits: true, resumesAt: 0 }
    ],
    [
      "a POST without its response: it may have arrived",
      whole,
      failed("temporary", broken, sent),
      "lookingForSent",
      { waits: true }
    ],
    ["it has", at("lookingForSent", { form: "single" }), { kind: "present" }, "done"],
    [
      "it has not: again",
      at("lookingForSent", { form: "single" }),
      { kind: "absent" },
      "sending",
      { resumesAt: 0 }
    ],
    // Sessions
    [
      "a session: the first piece",
      at("opening", { session: undefined }),
      { kind: "opened", bounds: { chunkMinLength: 5 } },
      "appending",
      { session: { bounds: { chunkMinLength: 5 }, isAdopted: false } }
    ],
    [
      "no session for the moment: again",
      at("opening"),
      failed("temporary", unavailable),
      "opening",
      { waits: true }
    ],
    [
      "no more trying: the last fault",
      at("opening", { fault: fault("temporary", unavailable) }),
      { kind: "exhausted" },
      "failed"
    ],
    [
      "a piece: the next one",
      at("appending"),
      { kind: "appended", progress: { offset: 5, seen: 9, verified: false } },
      "appending",
      { session: { offset: 5, acknowledged: 5 } }
    ],
    [
      "the last piece: the end",
      at("appending"),
      { kind: "appended", progress: { offset: 9, seen: 9, verified: true } },
      "closing"
    ],
    ["a piece that was all: nothing", at("appending"), { kind: "stored" }, "done"],
    [
      "the failure of the source",
      at("appending"),
      failed("failed", problem("SourceFailure")),
      "failed"
    ],
    // Forms refused
    [
      "PATCH refused: no PATCH of any kind",
      at("appending"),
      failed("refused", unsupported),
      "opening",
      { form: "put", session: undefined }
    ],
    [
      "PATCH too large: in chunks",
      at("appending", { tried: ["put"] }),
      failed("refused", tooLarge),
      "opening",
      { form: "chunked" }
    ],
    [
      "the form asked for refused",
      at("appending", { strategy: "patch" }),
      failed("refused", unsupported),
      "failed"
    ],
    ["a page: is the session gone?", at("appending"), failed("page", unsupported), "identifying"],
    [
      "it is: all again",
      at("identifying", { fault: fault("page", unsupported) }),
      { kind: "silent" },
      "opening",
      { waits: true, resumesAt: 0, session: undefined }
    ],
    [
      "it is not: another form",
      at("identifying", { fault: fault("page", unsupported) }),
      { kind: "located", offset: 0 },
      "opening",
      { form: "put" }
    ],
    [
      "no length: chunks have one",
      at("appending", { form: "chunked" }),
      failed("refused", lengthRequired),
      "opening",
      { form: "chunked" }
    ],
    // Faults
    [
      "a piece cut off: where is the registry?",
      at("appending"),
      failed("temporary", broken, { seen: 50 }),
      "locating",
      { waits: true }
    ],
    [
      "all sent, no response: it may have arrived",
      at("appending"),
      failed("temporary", broken, sent),
      "lookingForAppended",
      { waits: false }
    ],
    [
      "all of a chunk from memory sent: that alone is no blob",
      at("appending"),
      failed("temporary", broken, { ...sent, held: { from: 9, to: size } }),
      "locating"
    ],
    [
      "of unknown digest, it cannot be looked for",
      at("appending", { content: { ...options.content, hasDigest: false } }),
      failed("temporary", broken, sent),
      "locating"
    ],
    ["it has arrived", at("lookingForAppended"), { kind: "present" }, "done"],
    [
      "it has not: where is the registry?",
      at("lookingForAppended", { fault: fault("temporary", broken) }),
      { kind: "absent" },
      "locating",
      { waits: true }
    ],
    [
      "nor has the session: all again",
      at("lookingForAppended", { fault: fault("unknown", gone) }),
      { kind: "absent" },
      "opening",
      { waits: true, resumesAt: 0 }
    ],
    [
      "the session is gone: all again",
      at("appending"),
      failed("unknown", gone),
      "opening",
      { waits: true, resumesAt: 0, session: undefined }
    ],
    [
      "it is within what was sent: on from there",
      at("locating", {}, { seen: 50 }),
      { kind: "located", offset: 20 },
      "appending",
      { resumesAt: 20, session: { offset: 20, isDoubtful: true } }
    ],
    [
      "it counts bytes (Quay)",
      at("locating", {}, { seen: 50 }),
      { kind: "located", offset: 51 },
      "appending",
      { resumesAt: 50 }
    ],
    [
      "it has all: the end",
      at("locating", {}, { seen: 50, verified: true }),
      { kind: "located", offset: 50 },
      "closing",
      { resumesAt: 50 }
    ],
    [
      "it is beyond what was sent: all again",
      at("locating", {}, { seen: 50 }),
      { kind: "located", offset: 60 },
      "opening",
      { waits: false, resumesAt: 0 }
    ],
    [
      "it is before what it acknowledged (ECR): all again",
      at("locating", {}, { seen: 50, acknowledged: 30 }),
      { kind: "located", offset: 20 },
      "opening"
    ],
    [
      "it is before the chunk in memory: all again",
      at("locating", {}, { seen: 50, held: { from: 30, to: 50 } }),
      { kind: "located", offset: 20 },
      "opening"
    ],
    [
      "it is within that chunk: on from there",
      at("locating", {}, { seen: 99, held: { from: 30, to: 50 } }),
      { kind: "located", offset: 40 },
      "appending",
      { resumesAt: 40, session: { held: { from: 30, to: 50 } } }
    ],
    [
      "it does not say: all again",
      at("locating"),
      { kind: "silent" },
      "opening",
      { waits: false, resumesAt: 0 }
    ],
    [
      "it does not say, and all was sent: it may have arrived meanwhile (CP20)",
      at("locating", {}, sent),
      { kind: "silent" },
      "lookingForForgotten"
    ],
    ["it has", at("lookingForForgotten", {}, sent), { kind: "present" }, "done"],
    [
      "it has not: all again",
      at("lookingForForgotten", {}, sent),
      { kind: "absent" },
      "opening",
      { waits: false, resumesAt: 0, session: undefined }
    ],
    // Ranges refused
    [
      "a range refused: is it the place?",
      at("appending"),
      failed("misplaced", outOfRange),
      "doubting"
    ],
    [
      "it is not: the form is refused",
      at("doubting", { fault: fault("misplaced", failure(416)) }),
      { kind: "located", offset: 0 },
      "opening",
      { form: "put" }
    ],
    [
      "it is: on from there",
      at("doubting", {}, { seen: 50 }),
      { kind: "located", offset: 20 },
      "appending",
      { waits: true, resumesAt: 20 }
    ],
    [
      "after a fault, the place may be off by one",
      at("doubting", {}, { offset: 20, seen: 50, isDoubtful: true }),
      { kind: "located", offset: 20 },
      "appending",
      { waits: true, resumesAt: 19 }
    ],
    [
      "or hold a byte where it seems empty",
      at("doubting", {}, { offset: 0, seen: 50, isDoubtful: true }),
      { kind: "located", offset: 0 },
      "appending",
      { waits: true, resumesAt: 1 }
    ],
    ["nobody knows: all again", at("doubting"), { kind: "silent" }, "opening", { waits: true }],
    // What an earlier upload left
    [
      "from where it is",
      at("resuming", { isKept: true, form: undefined, session: undefined }),
      { kind: "opened", bounds: {}, progress: { offset: 20, seen: 20, verified: false } },
      "appending",
      { form: "patch", resumesAt: 20, session: { offset: 20, isDoubtful: true, isResumed: true } }
    ],
    [
      "all is there: its end",
      at("resuming", { isKept: true, form: undefined, session: undefined }),
      { kind: "opened", bounds: {}, progress: { offset: size, seen: size, verified: true } },
      "closing"
    ],
    [
      "more than there is of the content: a new one",
      at("resuming", { isKept: true, form: undefined, session: undefined }),
      { kind: "opened", bounds: {}, progress: { offset: size + 2, seen: size, verified: false } },
      "opening",
      { session: {}, form: "patch" }
    ],
    [
      "gone: a new one",
      at("resuming", { isKept: true, form: undefined, session: undefined }),
      failed("failed", gone),
      "opening",
      { form: "patch" }
    ],
    [
      "out of reach: the failure, with what is left",
      at("resuming", { isKept: true, form: undefined, session: undefined }),
      failed("temporary", broken),
      "failed"
    ],
    [
      "other content, which it may be: all again",
      at("appending", { isKept: true }, { isResumed: true }),
      failed("failed", problem("DigestMismatch")),
      "opening",
      { resumesAt: 0 }
    ],
    [
      "the same at its end",
      at("closing", { isKept: true }, { isResumed: true }),
      failed("failed", problem("DigestMismatch", 400)),
      "opening",
      { resumesAt: 0 }
    ],
    [
      "the source's own failure: that",
      at("appending", { isKept: true }, { isResumed: true }),
      failed("failed", SourceFailure.of("gone")),
      "failed"
    ],
    // The end
    ["closed: nothing", at("closing"), { kind: "stored" }, "done"],
    [
      "not closed, it seems: it may be",
      at("closing"),
      failed("temporary", broken),
      "lookingForClosed",
      { session: { isClosing: true } }
    ],
    ["it is", at("lookingForClosed"), { kind: "present" }, "done"],
    [
      "it is not: again",
      at("lookingForClosed", { fault: fault("temporary", broken) }),
      { kind: "absent" },
      "closing",
      { waits: true }
    ],
    [
      "the session is gone: all again",
      at("closing"),
      failed("unknown", gone),
      "opening",
      { waits: true, resumesAt: 0 }
    ],
    [
      "gone after it was closed: it may be there",
      at("closing", {}, { isClosing: true }),
      failed("unknown", gone),
      "lookingForClosed"
    ],
    [
      "it is not there: all again",
      at("lookingForClosed", { fault: fault("unknown", gone) }),
      { kind: "absent" },
      "opening",
      { waits: true }
    ],
    [
      "another digest: the failure",
      at("closing"),
      failed("failed", problem("DigestMismatch", 400)),
      "failed"
    ],
    [
      "it cannot close without content (ECR): by PUT",
      at("closing", { fault: fault("temporary", failure(500)) }),
      { kind: "exhausted" },
      "opening",
      { form: "put" }
    ],
    [
      "not of a source that is gone",
      at("closing", {
        content: { ...options.content, replayable: false },
        fault: fault("temporary", failure(500))
      }),
      { kind: "exhausted" },
      "failed"
    ]
  ]
  for (const [name, state, outcome, phase, { session, ...more } = {}] of rows)
    it(`on ${state.phase}, ${outcome.kind}: ${name}`, () => {
      const after = UploadPlan.next(state, outcome)
      assert.strictEqual(after.phase, phase)
      for (const [key, value] of Object.entries(more))
        assert.deepStrictEqual(after[key as keyof typeof more], value, key)
      for (const [key, value] of Object.entries(session ?? {}))
        assert.deepStrictEqual(after.session?.[key as keyof UploadPlan.Session], value, key)
    })

  it("on what is in no table: the failure", () => {
    for (const phase of Object.keys(UploadPlan.transitions) as Array<UploadPlan.Phase>)
      for (const kind of ["failed", "exhausted"] as const)
        if (UploadPlan.transitions[phase][kind] === undefined) {
          const outcome: Outcome = kind === "failed" ? failed(kind, broken) : { kind }
          assert.strictEqual(UploadPlan.next(at(phase), outcome).phase, "failed")
        }
  })

  it("on temporary failures for ever: a wait again and again", () => {
    for (const phase of Object.keys(UploadPlan.transitions) as Array<UploadPlan.Phase>) {
      let state = at(phase, { fault: fault("temporary", broken) })
      for (let waits = 0, steps = 0; waits < 5 && !UploadPlan.isOver(state); steps++) {
        assert.isBelow(steps, 50, phase)
        state = UploadPlan.next(state, worst(state))
        if (state.waits) waits++
      }
    }
  })
})

/** The worst that can become of a step, short of a failure. */
const worst = ({ phase }: State): Outcome => {
  if (phase.startsWith("looking") || phase === "finding") return { kind: "absent" }
  if (phase === "measuring" || phase === "gathering") return { kind: "measured", size }
  if (phase === "locating" || phase === "doubting" || phase === "identifying")
    return { kind: "silent" }
  return failed("temporary", broken)
}

describe("what is learned of a registry", () => {
  const refused = (form: UploadPlan.Form, error: Problem) =>
    UploadPlan.next(
      at(form === "single" ? "sending" : "appending", { form }),
      failed("refused", error)
    ).habits
  it.each([
    ["PATCH of either kind", "patch", unsupported, { patch: 0, chunked: 0 }],
    ["from this size on", "patch", tooLarge, { patch: size }],
    ["PUT", "put", tooLarge, { put: size }],
    ["the single POST, of any size", "single", failure(400), { single: 0 }],
    ["nothing, from passing trouble", "patch", unavailable, {}]
  ] as const)("it refuses %s", (_, form, error, refusedFrom) => {
    assert.deepStrictEqual(refused(form, error).refusedFrom, refusedFrom)
  })

  it("lengths do not arrive", () => {
    assert.isFalse(refused("chunked", lengthRequired).sendsLength)
  })

  it("the most that any upload has learned", () => {
    assert.deepStrictEqual(
      UploadPlan.learned(
        { refusedFrom: { put: 9, patch: 5 }, sendsLength: true },
        { refusedFrom: { put: 7, single: 0 }, sendsLength: false }
      ),
      { refusedFrom: { put: 7, patch: 5, single: 0 }, sendsLength: false }
    )
  })
})

describe("the next piece", () => {
  const content = options.content
  const rows: ReadonlyArray<readonly [string, Partial<State>, Partial<UploadPlan.Session>, Piece]> =
    [
      ["put: all of it", { form: "put" }, {}, { _tag: "Whole", range: undefined }],
      [
        "put after a fault: with its range (trap 3)",
        { form: "put" },
        { isDoubtful: true },
        { _tag: "Whole", range: { start: 0, end: size - 1 } }
      ],
      [
        "put of which the registry has some: the rest",
        { form: "put" },
        { offset: 5 },
        { _tag: "Rest", end: size, mayEnd: false }
      ],
      ["patch: all of it", {}, {}, { _tag: "Rest", end: size, mayEnd: false }],
      [
        "patch of unknown size",
        { content: { ...content, size: undefined } },
        {},
        { _tag: "Rest", end: undefined, mayEnd: false }
      ],
      [
        "that was cut off: in chunks",
        { content: { ...content, size: undefined } },
        { offset: 5 },
        { _tag: "Chunk", size: 8_388_608 }
      ],
      [
        "patch beyond what the registry takes",
        {},
        { bounds: { chunkMaxLength: 400_000 } },
        { _tag: "Chunk", size: 400_000 }
      ],
      [
        "chunks from memory",
        { form: "chunked", chunkSize: 300_000 },
        { offset: 900_000 },
        { _tag: "Chunk", size: 300_000 }
      ],
      [
        "chunks that no memory should hold, of a source that can be opened again",
        { form: "chunked", chunkSize: large, content: { ...content, size: 5 * large } },
        { offset: 4.5 * large },
        { _tag: "Portion", end: 5 * large }
      ],
      [
        "chunks of one that cannot",
        { form: "chunked", chunkSize: large, content: { ...content, replayable: false } },
        {},
        { _tag: "Chunk", size: large }
      ],
      [
        "chunks where streams lose their length",
        { form: "chunked", chunkSize: large, habits: { refusedFrom: {}, sendsLength: false } },
        {},
        { _tag: "Chunk", size: large }
      ],
      [
        "a minimum that no memory should hold",
        { form: "chunked", content: { ...content, size: undefined } },
        { bounds: { chunkMinLength: 1e9 } },
        { _tag: "Rest", end: undefined, mayEnd: false }
      ],
      [
        "patch that a later upload may go on with: without its end",
        { isKept: true },
        {},
        { _tag: "Rest", end: size, mayEnd: true }
      ],
      [
        "that has gone on: one chunk, for its range",
        { isKept: true },
        { offset: 5, isDoubtful: true },
        { _tag: "Chunk", size: 8_388_608 }
      ],
      [
        "and then the rest",
        { isKept: true },
        { offset: 5, isDoubtful: true, isCertain: true },
        { _tag: "Rest", end: size, mayEnd: true }
      ],
      [
        "nothing left but the end of the source",
        {},
        { offset: size },
        { _tag: "Chunk", size: 8_388_608 }
      ]
    ]
  for (const [name, change, inSession, piece] of rows)
    it(name, () => {
      const state = at("appending", change, inSession)
      assert.deepStrictEqual(pieceOf(state, { ...session, ...inSession }), piece)
    })
})

describe("what a failure means", () => {
  const rows: ReadonlyArray<
    readonly [UploadPlan.Phase, Problem, UploadPlan.FailureKind | "absent", UploadPlan.Form?]
  > = [
    ["mounting", problem("NameUnknown", 404), "refused"],
    ["mounting", failure(400), "refused"],
    ["mounting", unavailable, "temporary"],
    ["mounting", problem("DigestMismatch", 201), "failed"],
    ["finding", problem("Denied", 403), "absent"],
    ["finding", problem("ProtocolViolation", 200), "absent"],
    ["finding", failure(405), "absent"],
    ["finding", unavailable, "failed"],
    ["sending", failure(400), "refused", "single"],
    ["sending", failure(400), "failed", "direct"],
    ["sending", unsupported, "refused", "direct"],
    ["opening", unsupported, "failed"],
    ["opening", broken, "temporary"],
    ["appending", problem("Unsupported", 404), "page"],
    ["appending", failure(416), "misplaced"],
    ["appending", outOfRange, "misplaced"],
    ["appending", gone, "unknown"],
    ["appending", tooLarge, "refused"],
    ["appending", broken, "temporary"],
    ["appending", problem("SourceFailure"), "failed"],
    ["closing", gone, "unknown"],
    ["closing", failure(500), "temporary"],
    ["closing", problem("DigestMismatch", 400), "failed"]
  ]
  for (const [phase, error, kind, form] of rows)
    it(`${error._tag} ${error.status ?? ""} on ${phase} is ${kind}`, () =>
      assert.strictEqual(failureOf({ phase, form }, error), kind))
})
