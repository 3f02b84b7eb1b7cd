import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Link from "../../src/protocol/Link.js"

const next: ReadonlyArray<readonly [name: string, header: string, expected: string | undefined]> = [
  [
    "distribution: relative",
    '</v2/a/b/tags/list?last=x&n=100>; rel="next"',
    "/v2/a/b/tags/list?last=x&n=100"
  ],
  [
    "ECR: absolute",
    '<https://ecr.example/v2/_catalog?n=1>; rel="next"',
    "https://ecr.example/v2/_catalog?n=1"
  ],
  [
    "ACR: an empty orderby, kept as sent",
    '</v2/x/tags/list?last=v1&n=2&orderby=>; rel="next"',
    "/v2/x/tags/list?last=v1&n=2&orderby="
  ],
  [
    "Harbor: prev and next in one value (HK defect 3)",
    '</v2/a/referrers/sha256:0?page=1&q=a b>; rel="prev" , </v2/a/referrers/sha256:0?page=3&q=a b>; rel="next"',
    "/v2/a/referrers/sha256:0?page=3&q=a b"
  ],
  [
    "Cloudflare: no brackets, no quotes",
    "https://r.example/v2/a/tags/list?last=b; rel=next",
    "https://r.example/v2/a/tags/list?last=b"
  ],
  [
    "Quay: no brackets (HK10)",
    '/v2/_catalog?next_page=gAAAA%3D; rel="next"',
    "/v2/_catalog?next_page=gAAAA%3D"
  ],
  ["an unquoted rel in brackets (HK10)", "</v2/_catalog?n=5>; rel=next", "/v2/_catalog?n=5"],
  ["parameters before rel (HK10)", '</a>; title="x; y, z"; foo=bar; rel="next"', "/a"],
  ["parameters after rel (HK10)", '</a>; rel=next; title="x"; flag', "/a"],
  [
    "commas and semicolons inside of the target",
    '</a?x=1,2;3&y=%2C>; rel="next"',
    "/a?x=1,2;3&y=%2C"
  ],
  ["a comma inside of a bare target", "/a?x=1,2; rel=next", "/a?x=1,2"],
  ["a comma at the end of a bare target", "/a?last=b,; rel=next", "/a?last=b,"],
  ["a bare link after another", "/a?x=1; rel=prev, /a?x=2; rel=next", "/a?x=2"],
  ["no opening bracket", "/a>; rel=next", "/a"],
  ["no closing bracket", "</a; rel=prev, </b>; rel=next", "/b"],
  ["no comma between links", "</a>; rel=prev </b>; rel=next", "/b"],
  ["several relations, any case", '</a>; REL="Last NEXT"', "/a"],
  ["single quotes", "</a>; rel='next'", "/a"],
  ["only the first rel of a link", '</a>; rel="prev"; rel="next"', undefined],
  ["the first of several next links", "</a>; rel=next, </b>; rel=next", "/a"],
  ["white space around everything", ' </a>  ;  rel  =  "next" ', "/a"],
  ["empty list elements", ", ,</a>; rel=next,,", "/a"],
  ["a link without rel", "</v2/renovate/tags/list?last=10000>", undefined],
  ["the word next elsewhere", '</next>; title="rel=next", </a>; rel="nextish"', undefined],
  ["an empty target, which would be the same page again", '<>; rel="next"', undefined],
  ["a control character in the target (T12)", "</a\u0000b>; rel=next", undefined],
  ["nonsense", '<<<;;;"=,>', undefined],
  ["the empty value", "", undefined]
]

describe("Link.next", () => {
  for (const [name, header, expected] of next) {
    it(`understands ${name}`, () =>
      assert.strictEqual(Option.getOrUndefined(Link.next(header)), expected))
  }
})

describe("Link.parse", () => {
  it("keeps every link in order, targets verbatim", () =>
    assert.deepStrictEqual(Link.parse(`<a'%27?b="c">; rel="prev last", <../d>; title=x`), [
      { target: `a'%27?b="c"`, rel: ["prev", "last"] },
      { target: "../d", rel: [] }
    ]))

  it("reads 32 links, and nothing of more than 16 KiB (T6)", () => {
    assert.lengthOf(Link.parse(Array.from({ length: 40 }, () => "<a>; rel=x").join(", ")), 32)
    assert.lengthOf(Link.parse(`<${"a".repeat(16_382)}>`), 1)
    assert.lengthOf(Link.parse(`<${"a".repeat(16_383)}>`), 0)
  })

  const piece = FastCheck.oneof(
    FastCheck.string({ unit: "binary" }),
    FastCheck.constantFrom("<", ">", ";", ",", " ", '"', "\\", "=", "rel=next", "/v2/a")
  )
  it.prop(
    "never throws, and never yields an empty target or one that is not part of the input",
    [FastCheck.array(piece, { maxLength: 40 })],
    ([pieces]) => {
      const header = pieces.join("")
      for (const { target } of Link.parse(header)) {
        assert.isNotEmpty(target)
        assert.include(header, target)
      }
    }
  )
})

describe("Link.format", () => {
  it("writes what distribution writes", () =>
    assert.strictEqual(
      Link.format([{ target: "/v2/a/tags/list?last=b&n=2", rel: ["next"] }]),
      '</v2/a/tags/list?last=b&n=2>; rel="next"'
    ))

  it("encodes what would end the target or the line (T12)", () =>
    assert.strictEqual(
      Link.format([{ target: '/a>; rel="x"\r\nb é', rel: ["next"] }]),
      '</a%3E;%20rel=%22x%22%0D%0Ab%20%C3%A9>; rel="next"'
    ))

  const link = FastCheck.record({
    target: FastCheck.stringMatching(/^[!#-;=?-~]{1,40}$/),
    rel: FastCheck.uniqueArray(FastCheck.constantFrom("next", "prev", "first", "last"), {
      maxLength: 3
    })
  })
  it.prop("is read back by parse", [FastCheck.array(link, { maxLength: 6 })], ([links]) =>
    assert.deepEqual(
      Link.parse(Link.format(links)),
      links.map((one) => ({ ...one }))
    )
  )
  it.prop(
    "loses no next among other links",
    [FastCheck.array(link, { maxLength: 6 }), link],
    ([links, last]) => {
      const others = links.map(({ target }) => ({ target, rel: ["prev"] }))
      const header = Link.format([...others, { target: last.target, rel: ["next"] }])
      assert.strictEqual(Option.getOrUndefined(Link.next(header)), last.target)
    }
  )
})
