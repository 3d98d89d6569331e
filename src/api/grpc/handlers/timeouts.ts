/** Reads end at the timeout that their request asks for; strict mode says how long that may be. */
import { toBinary } from "@bufbuild/protobuf";
import { badInput, DomainError } from "../../../core/index.ts";
import type { SealedEngine } from "../../../engine/index.ts";
import { type AskedTimeout, timeoutReader } from "../../../wire/index.ts";
import type { AnyHandler, CallContext, ServiceBinding } from "../call.ts";

/** Those of qdrant.Points; writes end when they are in the log. */
const reads = [
  "get",
  "search",
  "searchBatch",
  "searchGroups",
  "scroll",
  "recommend",
  "recommendBatch",
  "recommendGroups",
  "discover",
  "discoverBatch",
  "count",
  "query",
  "queryBatch",
  "queryGroups",
  "facet",
  "searchMatrixPairs",
  "searchMatrixOffsets",
];

/** About what Node's timers can count to. */
const secondsMax = 2_000_000;

export function withTimeouts({ service, table }: ServiceBinding, engine: SealedEngine): ServiceBinding {
  const timed: Record<string, AnyHandler> = { ...table };
  for (const { localName, name, input } of service.methods) {
    const handler = table[localName];
    const read = timeoutReader(input);
    if (!reads.includes(localName) || read === undefined || handler === undefined) continue;
    if (handler.kind === "raw_unary") {
      const { handleBytes } = handler;
      timed[localName] = {
        kind: "raw_unary",
        handleBytes: (bytes, call) => run(engine, name, read(bytes), call, (within) => handleBytes(bytes, within)),
      };
    } else if (handler.kind === "unary") {
      const handle = handler.handle as (request: never, call: CallContext) => Promise<unknown>;
      timed[localName] = {
        kind: "unary",
        handle: (request: never, call: CallContext) =>
          run(engine, name, read(toBinary(input, request)), call, (within) => handle(request, within)),
      };
    }
  }
  return { service, table: timed };
}

async function run<T>(
  engine: SealedEngine,
  operation: string,
  asked: AskedTimeout | undefined,
  call: CallContext,
  handle: (call: CallContext) => Promise<T>,
): Promise<T> {
  if (asked === undefined) return handle(call);
  const { collection, seconds } = asked;
  if (seconds < 1) {
    throw badInput(`Validation error in body: [timeout: value ${seconds} invalid, must be 1 or larger]`, "timeout");
  }
  await engine.admit(collection, { timeoutSeconds: seconds });
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      // The text is Qdrant's.
      const error = new DomainError(
        "timeout",
        `Timeout error: Operation '${operation}' timed out after ${seconds} seconds`,
      );
      late.abort(error);
      reject(error);
    }, Math.min(seconds, secondsMax) * 1_000);
    timer.unref();
  });
  const handled = handle(within(call, late.signal));
  // Whichever comes second has nobody who listens.
  handled.catch(() => undefined);
  try {
    return await Promise.race([handled, passed]);
  } finally {
    clearTimeout(timer);
  }
}

/** The call with a signal that fires at the timeout too. */
function within(call: CallContext, late: AbortSignal): CallContext {
  const signal = AbortSignal.any([call.signal, late]);
  return {
    requestId: call.requestId,
    method: call.method,
    peer: call.peer,
    deadlineMs: call.deadlineMs,
    signal,
    draining: call.draining,
    get log() {
      return call.log;
    },
    metadata: (name) => call.metadata(name),
    setResponseMetadata: (name, value) => call.setResponseMetadata(name, value),
    setTrailingMetadata: (name, value) => call.setTrailingMetadata(name, value),
  };
}
