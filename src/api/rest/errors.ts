/** From the domain's errors to HTTP, as Qdrant answers them. The compiler refuses an ErrorKind without its row. */
import type { Logger } from "pino";
import { DomainError, type ErrorKind } from "../../core/index.ts";
import { sparseSearchRefused } from "../../wire/index.ts";
import { toJsonFields } from "./field-names.ts";

const codes: Readonly<Record<ErrorKind, number>> = {
  bad_input: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  already_exists: 409,
  precondition: 412,
  timeout: 408,
  cancelled: 400,
  rate_limited: 429,
  exhausted: 507,
  unavailable: 503,
  unimplemented: 405,
  data_loss: 500,
  aborted: 409,
  open_failed: 403,
  internal: 500,
};

/** Where a request failed, with the route's own pattern. */
export interface FailedRoute {
  readonly method: string;
  readonly url: string | undefined;
}

export interface Failure {
  readonly code: number;
  readonly message: string;
  readonly retryAfterSeconds?: number;
  readonly reason?: string;
  /** The part of the request that is at fault, as a header may hold it. */
  readonly field?: string;
}

/** What the validator of the other door says of a `body` is said of the `JSON body` here, with a code of its own. */
const validation = /^Validation error in (?:body|query parameters|path)\b/;

export function toFailure(thrown: unknown, requestId: string, log: Logger, route?: FailedRoute): Failure {
  if (!(thrown instanceof DomainError)) {
    log.error({ err: thrown, requestId }, "internal error");
    return { code: 500, message: `internal error (request ${requestId})` };
  }
  if (thrown.kind === "internal") log.error({ err: thrown, requestId }, "internal error");
  const { details } = thrown;
  const message = thrown.message.replace(sparseSearchRefused, "");
  const invalid = validation.test(message);
  return {
    code: invalid ? 422 : codes[thrown.kind],
    message: toJsonFields(message, route?.method ?? "", route?.url),
    ...(details.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: details.retryAfterSeconds }),
    ...(details.reason === undefined ? {} : { reason: details.reason }),
    ...(details.field === undefined ? {} : { field: headerText(details.field) }),
  };
}

const fieldCharactersMax = 256;

/** Names of vectors are their maker's: what no header may hold is percent-encoded. */
function headerText(field: string): string {
  return field
    .toWellFormed()
    .slice(0, fieldCharactersMax)
    .toWellFormed()
    .replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}

/** The shape of Qdrant's REST errors. */
export function failureText(message: string, seconds: number): string {
  return JSON.stringify({ status: { error: message.toWellFormed() }, time: seconds });
}

/** A route whose service the server leaves out: the extensions are turned off. */
export function notOffered(rpc: string): DomainError {
  return new DomainError("unimplemented", `${rpc.replace(/^\//, "")}: the extensions are turned off here`);
}
