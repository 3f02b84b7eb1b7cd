/** What requests are sent with. */
import type * as HttpClient from "@effect/platform/HttpClient"

/** What sends requests, such as an `HttpClient`. */
export type Sender<E, R = never> = Pick<HttpClient.HttpClient.With<E, R>, "execute">
