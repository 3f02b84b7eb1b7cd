/** Who takes part in the tests of authorization, without sockets: origins, people and tokens. */
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"

export const registry = "https://registry.example.com"
export const realm = "https://auth.example.com/token"
export const attacker = "https://evil.example"

export const alice = Credentials.basic("alice", Redacted.make("hunter2"))
export const aliceBasic = "Basic YWxpY2U6aHVudGVyMg=="
export const bob = Credentials.basic("bob", Redacted.make("swordfish"))
export const bobBasic = "Basic Ym9iOnN3b3JkZmlzaA=="

/** The part of a token request's query that asks to pull from the repository `a`. */
export const pull = "scope=repository%3Aa%3Apull"
