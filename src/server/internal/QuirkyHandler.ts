/** Puts the quirks of a registry server together. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { Quirks } from "../Quirks.js"
import type { Handler, Permitted } from "./Handler.js"
import * as Asking from "./quirks/Asking.js"
import * as Contents from "./quirks/Contents.js"
import * as Lists from "./quirks/Lists.js"
import { all, type Quirk } from "./quirks/Quirk.js"
import * as Removals from "./quirks/Removals.js"
import * as Storage from "./quirks/Storage.js"
import * as Tags from "./quirks/Tags.js"
import * as Uploads from "./quirks/Uploads.js"
import * as TokenPath from "./TokenPath.js"

/** Every switch but `storage`, the outermost first. */
const ofContent = {
  ...Lists.table,
  ...Removals.table,
  ...Uploads.table,
  ...Contents.table,
  ...Tags.table
}
const ofResponses = { ...Contents.responses, ...Asking.table }

type Other = "storage" | "signedForGet"

/** The compiler finds a switch that nothing stands for. */
const tables: {
  readonly [Name in Exclude<keyof Quirks, Other>]-?: (value: never, quirks: Quirks) => Quirk
} = { ...ofContent, ...ofResponses }

/** Stands behind the authorization: what whoever is let in finds. */
export const content = (quirks: Quirks, next: Handler<Permitted>): Handler<Permitted> =>
  made(quirks, ofContent)(next)

/** Stands before the authorization. `open` is what is found behind it. */
export const exchange = (quirks: Quirks, next: Handler, open: Handler): Handler => {
  const { storage } = quirks
  const inner = storage === undefined ? next : Storage.make(storage, quirks, open)(next)
  return made(quirks, ofResponses)(inner)
}

/** Returns whether a request is for the token endpoint. */
export const isTokenRequest =
  ({ realm }: Quirks) =>
  (request: HttpServerRequest): boolean =>
    TokenPath.isTokenRequest(request) ||
    (realm !== undefined && TokenPath.isTokenRequest(request, Asking.realmPath(realm)))

const made = (quirks: Quirks, names: object): Quirk =>
  all(
    ...(Object.keys(names) as ReadonlyArray<keyof typeof tables>).flatMap((name) => {
      const value = quirks[name]
      // The table has for each switch what takes its values.
      return value === undefined ? [] : [tables[name](value as never, quirks)]
    })
  )
