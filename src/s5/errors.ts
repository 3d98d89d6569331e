/** What can go wrong with a load. The codes travel to callers and never change; messages hold no key and no content. */
import { badInput, DomainError, type ErrorKind } from "../core/index.ts";

export type LoadErrorCode =
  | "MANIFEST_NOT_FOUND"
  | "MANIFEST_DOWNLOAD_FAILED"
  | "CHUNK_DOWNLOAD_FAILED"
  | "OWNER_MISMATCH"
  | "DECRYPTION_FAILED"
  | "DIMENSION_MISMATCH"
  | "VECTOR_COUNT_MISMATCH"
  | "MANIFEST_PARSE_ERROR"
  | "MEMORY_LIMIT_EXCEEDED"
  | "RATE_LIMIT_EXCEEDED"
  | "TIMEOUT"
  | "INVALID_PATH"
  | "INDEX_BUILD_FAILED";

export interface LoadErrorTraits {
  /** The same call may succeed later. */
  readonly isRetryable: boolean;
  /** Somebody may have tampered or reached for what is not theirs. */
  readonly isSecurity: boolean;
  readonly kind: ErrorKind;
}

const traits = (kind: ErrorKind, isRetryable = false, isSecurity = false): LoadErrorTraits => ({
  kind,
  isRetryable,
  isSecurity,
});

export const loadErrorTraits: Readonly<Record<LoadErrorCode, LoadErrorTraits>> = {
  MANIFEST_NOT_FOUND: traits("not_found"),
  MANIFEST_DOWNLOAD_FAILED: traits("unavailable", true),
  CHUNK_DOWNLOAD_FAILED: traits("unavailable", true),
  OWNER_MISMATCH: traits("forbidden", false, true),
  DECRYPTION_FAILED: traits("open_failed", false, true),
  DIMENSION_MISMATCH: traits("precondition"),
  VECTOR_COUNT_MISMATCH: traits("precondition"),
  MANIFEST_PARSE_ERROR: traits("precondition"),
  MEMORY_LIMIT_EXCEEDED: traits("exhausted"),
  RATE_LIMIT_EXCEEDED: traits("rate_limited", true),
  TIMEOUT: traits("timeout", true),
  INVALID_PATH: traits("bad_input", false, true),
  INDEX_BUILD_FAILED: traits("internal", true),
};

export class LoadError extends Error {
  readonly code: LoadErrorCode;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: LoadErrorCode, message: string, options: { cause?: unknown; retryAfterSeconds?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "LoadError";
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** What is wrong with one field of a request, named in the text too: REST tells nothing else. */
export function badField(field: string, message: string): DomainError {
  return badInput(`${field}: ${message}`, field);
}

/** As the doors know it: the code is the reason of its ErrorInfo, the traits are in the metadata. */
export function toDomainError(error: LoadError): DomainError {
  const { isRetryable, isSecurity, kind } = loadErrorTraits[error.code];
  const { retryAfterSeconds } = error;
  return new DomainError(kind, error.message, {
    retryable: isRetryable,
    cause: error,
    details: {
      reason: error.code,
      metadata: { is_retryable: String(isRetryable), is_security: String(isSecurity) },
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    },
  });
}
