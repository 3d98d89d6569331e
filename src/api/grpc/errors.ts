/**
 * The one table from the domain's errors to gRPC; api/rest has its own. The compiler refuses an ErrorKind without its row.
 * A foreign throw becomes "internal error" with a request id; what it was stands in the log only.
 */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { DomainError, type ErrorKind } from "../../core/index.ts";

export interface ErrorRow {
  readonly grpc: status;
}

export const errorTable: Readonly<Record<ErrorKind, ErrorRow>> = {
  bad_input: { grpc: status.INVALID_ARGUMENT },
  unauthenticated: { grpc: status.UNAUTHENTICATED },
  forbidden: { grpc: status.PERMISSION_DENIED },
  not_found: { grpc: status.NOT_FOUND },
  already_exists: { grpc: status.ALREADY_EXISTS },
  precondition: { grpc: status.FAILED_PRECONDITION },
  timeout: { grpc: status.DEADLINE_EXCEEDED },
  cancelled: { grpc: status.CANCELLED },
  rate_limited: { grpc: status.RESOURCE_EXHAUSTED },
  exhausted: { grpc: status.RESOURCE_EXHAUSTED },
  unavailable: { grpc: status.UNAVAILABLE },
  unimplemented: { grpc: status.UNIMPLEMENTED },
  data_loss: { grpc: status.DATA_LOSS },
  aborted: { grpc: status.ABORTED },
  open_failed: { grpc: status.PERMISSION_DENIED },
  internal: { grpc: status.INTERNAL },
};

/** An HTTP/2 header list has 16 KiB with most peers, and the text travels twice, percent-encoded once. */
const messageCharactersMax = 768;
const errorDomain = "sealpoint.dev";

/** Length-delimited field in protobuf wire form (tag and length as varints). */
function field(number: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function textField(number: number, text: string): Uint8Array {
  return field(number, Buffer.from(text, "utf8"));
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** google.rpc.Status { code = 1, message = 2, details = 3 } around one google.rpc.ErrorInfo { reason, domain, metadata }. */
export function encodeStatusDetails(
  code: number,
  message: string,
  reason: string,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = Object.entries(metadata).map(([key, value]) =>
    field(3, Buffer.concat([textField(1, key), textField(2, value)])),
  );
  const info = Buffer.concat([textField(1, reason), textField(2, errorDomain), ...entries]);
  const any = Buffer.concat([textField(1, "type.googleapis.com/google.rpc.ErrorInfo"), field(2, info)]);
  return Buffer.concat([Uint8Array.of(8), varint(code), textField(2, message), field(3, any)]);
}

/** What a door does with anything that a handler threw. */
export function toDomainError(thrown: unknown, requestId: string, log: () => Logger): DomainError {
  if (thrown instanceof DomainError) {
    if (thrown.kind === "internal") log().error({ err: thrown }, "internal error");
    return thrown;
  }
  log().error({ err: thrown }, "internal error");
  return new DomainError("internal", `internal error (request ${requestId})`, { cause: thrown });
}

export function toServiceError(error: DomainError, requestId: string, trailers = new Metadata()): ServiceError {
  const row = errorTable[error.kind];
  // grpc-js runs encodeURI over the text, which throws on a lone surrogate; and headers have a size.
  const message = error.message.toWellFormed().slice(0, messageCharactersMax).toWellFormed();
  const { reason, field: fieldName, retryAfterSeconds, metadata } = error.details;
  const info: Record<string, string> = { ...metadata };
  if (fieldName !== undefined) info.field = fieldName;
  trailers.set("x-request-id", requestId);
  if (retryAfterSeconds !== undefined) trailers.set("retry-after", String(Math.ceil(retryAfterSeconds)));
  if (reason !== undefined || Object.keys(info).length > 0) {
    const details = encodeStatusDetails(row.grpc, message, reason ?? error.kind.toUpperCase(), info);
    trailers.set("grpc-status-details-bin", Buffer.from(details));
  }
  return Object.assign(new Error(message), { code: row.grpc, details: message, metadata: trailers });
}
