/**
 * Reads end at the timeout that their request asks for; strict mode says how long that may be. Of a write the timeout says how long its caller
 * waits: it goes on, and the answer's status is WaitTimeout.
 */
import { toBinary } from "@bufbuild/protobuf";
import { badInput, DomainError, limits } from "../../../core/index.ts";
import type { SealedEngine } from "../../../engine/index.ts";
import { type Asked, askedReader } from "../../../wire/index.ts";
import type { AnyHandler, CallContext, ServiceBinding } from "../call.ts";

/** Those of qdrant.Points. */
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

const writes = [
  "upsert",
  "delete",
  "updateVectors",
  "deleteVectors",
  "setPayload",
  "overwritePayload",
  "deletePayload",
  "clearPayload",
  "updateBatch",
  "createFieldIndex",
  "deleteFieldIndex",
  "createVectorName",
  "deleteVectorName",
];

/** `defaultSeconds`: of reads that ask for none; 0: they have none. `shards`: there are shard keys. */
export function withTimeouts(
  { service, table }: ServiceBinding,
  engine: SealedEngine,
  defaultSeconds = 0,
  shards = false,
): ServiceBinding {
  const runRead = timedRead(engine, defaultSeconds, shards);
  const runWrite = timedWrite(engine, shards);
  const timed: Record<string, AnyHandler> = { ...table };
  for (const { localName, name, input } of service.methods) {
    const handler = table[localName];
    const read = askedReader(input);
    const isRead = reads.includes(localName);
    if (!(isRead || writes.includes(localName)) || read === undefined || handler === undefined) continue;
    const run = isRead ? runRead : runWrite;
    if (handler.kind === "raw_unary") {
      const { handleBytes } = handler;
      timed[localName] = {
        kind: "raw_unary",
        handleBytes: (bytes, call) => run(name, read(bytes), call, (within) => handleBytes(bytes, within)),
      };
    } else if (handler.kind === "unary") {
      const handle = handler.handle as (request: never, call: CallContext) => Promise<unknown>;
      timed[localName] = {
        kind: "unary",
        handle: (request: never, call: CallContext) =>
          run(name, read(toBinary(input, request)), call, (within) => handle(request, within)),
      };
    }
  }
  return { service, table: timed };
}

/** Throws what speaks against it: the timeout, and shard keys where there are none. */
async function admit(
  engine: SealedEngine,
  { collection, seconds, shardKey }: Asked,
  isRead: boolean,
  shards: boolean,
): Promise<void> {
  if (seconds !== undefined) {
    if (seconds < 1) {
      throw badInput(`Validation error in body: [timeout: value ${seconds} invalid, must be 1 or larger]`, "timeout");
    }
    await engine.admit(collection, { timeoutSeconds: seconds });
  }
  if (shardKey === undefined || shards) return;
  await engine.collectionInfo(collection);
  // The texts are Qdrant's.
  throw badInput(`${isRead ? "Bad request" : "Wrong input"}: Shard key ${shardKey} not found`, "shard_key_selector");
}

/** Hands a write the seconds that its caller waits for it. */
function timedWrite(engine: SealedEngine, shards: boolean) {
  return async <T>(
    _operation: string,
    asked: Asked | undefined,
    call: CallContext,
    handle: (call: CallContext) => Promise<T>,
  ): Promise<T> => {
    if (asked === undefined) return handle(call);
    await admit(engine, asked, false, shards);
    return handle(asked.wait ? derived(call, call, asked.seconds) : call);
  };
}

/** Runs a read within the seconds that it asks for, or else the default ones. */
function timedRead(engine: SealedEngine, defaultSeconds: number, shards: boolean) {
  return async <T>(
    operation: string,
    asked: Asked | undefined,
    call: CallContext,
    handle: (call: CallContext) => Promise<T>,
  ): Promise<T> => {
    if (asked !== undefined) await admit(engine, asked, true, shards);
    const seconds = asked?.seconds ?? defaultSeconds;
    return seconds === 0 ? handle(call) : runWithin(seconds, operation, call, handle);
  };
}

async function runWithin<T>(
  seconds: number,
  operation: string,
  call: CallContext,
  handle: (call: CallContext) => Promise<T>,
): Promise<T> {
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
    }, Math.min(seconds, limits.timeoutSecondsMax) * 1_000);
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
  const ends = {
    signal,
    get aborted() {
      return signal.aborted;
    },
    throwIfAborted: () => signal.throwIfAborted(),
  };
  return derived(call, ends);
}

/** The call with other ends. */
function derived(
  call: CallContext,
  ends: { readonly signal: AbortSignal; readonly aborted: boolean; throwIfAborted(): void },
  waitSeconds?: number,
): CallContext {
  return {
    requestId: call.requestId,
    method: call.method,
    peer: call.peer,
    deadlineMs: call.deadlineMs,
    waitSeconds,
    get signal() {
      return ends.signal;
    },
    get aborted() {
      return ends.aborted;
    },
    throwIfAborted: () => ends.throwIfAborted(),
    leaveOutCollection: () => call.leaveOutCollection(),
    draining: call.draining,
    get log() {
      return call.log;
    },
    metadata: (name) => call.metadata(name),
    setResponseMetadata: (name, value) => call.setResponseMetadata(name, value),
    setTrailingMetadata: (name, value) => call.setTrailingMetadata(name, value),
  };
}
