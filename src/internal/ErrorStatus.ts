/** What errors are to the client of a service that uses a registry, as HTTP statuses. */

/** What of an error decides. */
interface Facts {
  readonly status?: number | undefined
  readonly url?: string | undefined
  readonly reason?: string | undefined
  readonly manifest?: string | undefined
}

/** Content that is not what it should be: a registry sent it, or the client. */
const ofContent = ({ status }: Facts): number => (status !== undefined && status < 400 ? 502 : 400)

/** A document of a registry has a name, and one that is to be pushed has none. */
const ofDocument = ({ manifest }: Facts): number => (manifest === undefined ? 400 : 502)

const statuses = {
  InvalidReference: 400,
  InvalidDigest: 400,
  InvalidUrl: 400,
  DigestMismatch: ofContent,
  SizeMismatch: ofContent,
  MediaTypeMismatch: ofDocument,
  InvalidManifest: ofDocument,
  Unauthorized: 401,
  AuthChallenge: 401,
  Denied: 403,
  NameUnknown: 404,
  ManifestUnknown: 404,
  BlobUnknown: 404,
  UploadUnknown: 404,
  PreconditionFailed: 412,
  LimitExceeded: ({ url }: Facts) => (url === undefined ? 413 : 502),
  RangeMismatch: ({ status = 416 }: Facts) => (status === 416 ? 416 : 502),
  TooManyRequests: 429,
  CredentialsFailure: 500,
  StorageFailure: 500,
  Unsupported: 501,
  RegistryFailure: ({ status }: Facts) =>
    status === 413 || status === 503 || status === 504 ? status : status === 408 ? 504 : 502,
  BodyNotReplayable: 503,
  TransportFailure: ({ reason }: Facts) => (reason === "Timeout" || reason === "Stall" ? 504 : 502),
  UntrustedLocation: 502,
  ProtocolViolation: 502
}

/** Returns the status: see `RegistryError.httpStatus`. */
export const of = (error: Facts & { readonly _tag: keyof typeof statuses }): number => {
  const status: number | ((facts: Facts) => number) = statuses[error._tag]
  return typeof status === "number" ? status : status(error)
}
