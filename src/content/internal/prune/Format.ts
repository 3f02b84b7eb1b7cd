/** Plans and reports of prunes as text. */
import type { Outcome, Report } from "./Execution.js"
import type { Deletion, Plan, Reason, RuleResult, Untagging } from "./Plan.js"
import type { Cost } from "./Reads.js"

/** Returns a plan as lines of text. */
export const ofPlan = (plan: Plan): ReadonlyArray<string> => [
  `Plan to prune ${nameOf(plan)}, of ${plan.madeAt} by the clock of this program`,
  ...common(plan),
  ...counted(plan.deletions, "manifest", "goes", "go"),
  ...plan.deletions.map((deletion) => indented(deletionLine(deletion))),
  ...counted(plan.untaggings, "tag", "goes from what stays", "go from what stays"),
  ...plan.untaggings.map((untagging) => indented(untaggingLine(untagging)))
]

/** Returns a report as lines of text. */
export const ofReport = ({ cost, deletions, moved, ok, plan, untaggings }: Report) => [
  `Prune of ${nameOf(plan)} as planned at ${plan.madeAt}${ok ? "" : ", which has failed in part"}`,
  ...common(plan),
  `Read again: ${costOf(cost)}`,
  ...counted(deletions, "manifest", "was to go", "were to go"),
  ...deletions.map((deletion) =>
    indented(`${deletionLine(deletion)}: ${outcomeOf(deletion.outcome)}`)
  ),
  ...counted(untaggings, "tag", "was to go from what stays", "were to go from what stays"),
  ...untaggings.map((untagging) =>
    indented(`${untaggingLine(untagging)}: ${outcomeOf(untagging.outcome)}`)
  ),
  ...counted(moved, "tag", "has appeared or moved since", "have appeared or moved since"),
  ...moved.map(({ from, tag, to }) => indented(`${tag}: ${from ?? "absent"} → ${to}`))
]

const nameOf = ({ host, repository }: Plan): string =>
  host === undefined ? repository : `${host}/${repository}`

const common = (plan: Plan): ReadonlyArray<string> => {
  const { concurrency, cost, missing, orphans, rate, rules, tags, warnings } = plan
  const pace = rate === undefined ? "" : `, ${rate} in a second at the most`
  return [
    `${count(Object.keys(tags), "tag")}, read with ${costOf(cost)}: ` +
      `${concurrency} at a time${pace}`,
    ...rules.map((rule, n) => `rules[${n}]: ${ruleLine(rule)}`),
    ...(plan.protected.length === 0 ? [] : [`Protected: ${plan.protected.join(", ")}`]),
    ...missing.map(({ digest, of }) => `Missing: ${digest}, which ${of} has`),
    ...orphans.map(
      ({ digest, subject, tag }) =>
        `Left: ${tag === undefined ? digest : `${tag} (${digest})`}, attached to ${subject}, ` +
        "which is not there"
    ),
    ...warnings.map((warning) => `Warning: ${warning}`)
  ]
}

const costOf = ({ configs, heads, lists, manifests, referrers }: Cost): string =>
  [
    `${heads} HEAD`,
    count(lists, "list"),
    count(manifests, "manifest"),
    count(configs, "configuration"),
    `${count(referrers, "list")} of referrers`
  ].join(", ")

const ruleLine = ({ matched, ofUnknownAge, removed, rule }: RuleResult): string =>
  `${rule}: ${count(matched, "tag")} ${matched.length === 1 ? "fits" : "fit"}, ` +
  `${removed.length} ${removed.length === 1 ? "goes" : "go"}` +
  (ofUnknownAge.length === 0 ? "" : `, of unknown age: ${ofUnknownAge.join(", ")}`)

const deletionLine = ({ digest, reason, tags }: Deletion): string =>
  `${digest} ${tags.length === 0 ? "" : `(${tags.join(", ")}) `}${reasonOf(reason)}`

const reasonOf = (reason: Reason): string => {
  switch (reason._tag) {
    case "Rules":
      return `by ${reason.rules.map((n) => `rules[${n}]`).join(" and ")}`
    case "Untagged":
      return "has no tag"
    case "Member":
      return `of ${reason.of}`
    case "Attachment":
      return `attached to ${reason.of}`
  }
}

const untaggingLine = ({ digest, tag, why }: Untagging): string =>
  `${tag}: ${digest} stays, since ${why}`

const outcomeOf = (outcome: Outcome): string => {
  switch (outcome._tag) {
    case "Removed":
      return "removed"
    case "Gone":
      return "was gone already"
    case "Left":
      return `left, since ${outcome.why}`
    case "Failed":
      return `failed. ${outcome.error.message}`
  }
}

const count = (of: number | ReadonlyArray<unknown>, what: string): string => {
  const n = typeof of === "number" ? of : of.length
  return `${n} ${what}${n === 1 ? "" : "s"}`
}

const counted = (
  of: ReadonlyArray<unknown>,
  what: string,
  one: string,
  several: string
): ReadonlyArray<string> => [`${count(of, what)} ${of.length === 1 ? one : several}`]

const indented = (line: string): string => `  ${line}`
