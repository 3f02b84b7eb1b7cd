/** What an exchange can fail with, whatever its operation. */
import type {
  CredentialsFailure,
  LimitExceeded,
  ProtocolViolation,
  RegistryFailure,
  TooManyRequests,
  TransportFailure,
  Unauthorized,
  UntrustedLocation
} from "../../RegistryError.js"

/**
 * What an operation can fail with before its response is classified; `TooManyRequests` and
 * `RegistryFailure` are then those of a token server.
 *
 * @since 0.1.0
 * @category models
 */
export type ExchangeError =
  | Unauthorized
  | CredentialsFailure
  | UntrustedLocation
  | LimitExceeded
  | ProtocolViolation
  | TransportFailure
  | TooManyRequests
  | RegistryFailure
