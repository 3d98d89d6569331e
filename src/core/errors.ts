/**
 * The one error class of the domain. Every door maps its kind through an exhaustive table, so a new kind does not
 * compile without its rows. A foreign throw is never shown to a caller: it becomes "internal".
 */
export type ErrorKind =
  | "bad_input"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "already_exists"
  | "precondition"
  | "timeout"
  | "cancelled"
  | "rate_limited"
  | "exhausted"
  | "unavailable"
  | "unimplemented"
  | "data_loss"
  | "aborted"
  | "open_failed"
  | "internal";

export interface ErrorDetails {
  /** Stable machine-readable reason, such as `EncryptionRequired`; travels as google.rpc.ErrorInfo. */
  readonly reason?: string;
  /** The request field at fault, dotted, such as `points[3].vectors`. */
  readonly field?: string;
  readonly retryAfterSeconds?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

export class DomainError extends Error {
  readonly kind: ErrorKind;
  readonly retryable: boolean;
  readonly details: ErrorDetails;

  constructor(
    kind: ErrorKind,
    message: string,
    options: { details?: ErrorDetails; retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "DomainError";
    this.kind = kind;
    this.retryable = options.retryable ?? (kind === "unavailable" || kind === "timeout" || kind === "aborted");
    this.details = options.details ?? {};
  }
}

/** Wrong input of the caller; `field` names what is at fault, dotted and with indexes. */
export function badInput(message: string, field?: string): DomainError {
  return new DomainError("bad_input", message, field === undefined ? {} : { details: { field } });
}
