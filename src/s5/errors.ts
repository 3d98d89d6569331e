/** What can go wrong with a load. The codes travel to callers and never change; messages hold no key and no content. */
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
  | "TIMEOUT"
  | "INVALID_PATH"
  | "INDEX_BUILD_FAILED";

/** Whether the same call may succeed later, and whether somebody may have tampered or reached for what is not theirs. */
export const loadErrorTraits: Readonly<Record<LoadErrorCode, { isRetryable: boolean; isSecurity: boolean }>> = {
  MANIFEST_NOT_FOUND: { isRetryable: false, isSecurity: false },
  MANIFEST_DOWNLOAD_FAILED: { isRetryable: true, isSecurity: false },
  CHUNK_DOWNLOAD_FAILED: { isRetryable: true, isSecurity: false },
  OWNER_MISMATCH: { isRetryable: false, isSecurity: true },
  DECRYPTION_FAILED: { isRetryable: false, isSecurity: true },
  DIMENSION_MISMATCH: { isRetryable: false, isSecurity: false },
  VECTOR_COUNT_MISMATCH: { isRetryable: false, isSecurity: false },
  MANIFEST_PARSE_ERROR: { isRetryable: false, isSecurity: false },
  MEMORY_LIMIT_EXCEEDED: { isRetryable: false, isSecurity: false },
  TIMEOUT: { isRetryable: true, isSecurity: false },
  INVALID_PATH: { isRetryable: false, isSecurity: true },
  INDEX_BUILD_FAILED: { isRetryable: true, isSecurity: false },
};

export class LoadError extends Error {
  readonly code: LoadErrorCode;

  constructor(code: LoadErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "LoadError";
    this.code = code;
  }
}
