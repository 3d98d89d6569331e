/** Calls of qdrant.Points that name shards run over a view of those shards; a batch whose parts name different ones runs in pieces, in order. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ShardKeySelector } from "../../../../gen/qdrant/points_pb.js";
import { limits, type ShardKey, type ShardSelection } from "../../../core/index.ts";
import { mapShardSelection, shardSelectionReader } from "../../../wire/index.ts";
import type { AnyHandler, CallContext, ServiceBinding } from "../call.ts";

type Run = (bytes: Uint8Array, call: CallContext) => Promise<Uint8Array>;
type Method = ServiceBinding["service"]["methods"][number];
/** A batch's message or its answer. */
type Batch = Record<string, unknown> & { readonly result: readonly unknown[] };

/** Batches, each with the field of its parts. */
const partsOf: Readonly<Record<string, string>> = {
  updateBatch: "operations",
  searchBatch: "searchPoints",
  recommendBatch: "recommendPoints",
  discoverBatch: "discoverPoints",
  queryBatch: "queryPoints",
};

/** What is the same for equal selections only. */
function nameOf({ keys, fallback }: ShardSelection): string {
  const name = (key: ShardKey): string | readonly string[] => (typeof key === "string" ? key : [String(key)]);
  return JSON.stringify([keys.map(name), fallback === undefined ? null : [name(fallback)]]);
}

/** `bind`: the service over the chosen shards; undefined: all of them. */
export function withShards(bind: (selection: ShardSelection | undefined) => ServiceBinding): ServiceBinding {
  const whole = bind(undefined);
  const views = new Map<string, ServiceBinding>();

  function handlerOf(localName: string, selection: ShardSelection | undefined): AnyHandler | undefined {
    if (selection === undefined) return whole.table[localName];
    const name = nameOf(selection);
    const view = views.get(name) ?? bind(selection);
    views.delete(name);
    views.set(name, view);
    if (views.size > limits.guardedTablesMax) views.delete(views.keys().next().value as string);
    return view.table[localName];
  }

  const runOf = (localName: string, selection: ShardSelection | undefined): Run =>
    (handlerOf(localName, selection) as { readonly handleBytes: Run }).handleBytes;

  function batch({ localName, input, output }: Method, field: string): Run {
    return async (bytes, call) => {
      const runs: { selection: ShardSelection | undefined; parts: unknown[] }[] = [];
      let message: Record<string, unknown>;
      try {
        message = fromBinary(input, bytes) as unknown as Record<string, unknown>;
      } catch {
        // Who reads all of it says what is malformed.
        return runOf(localName, undefined)(bytes, call);
      }
      for (const part of message[field] as readonly unknown[]) {
        const selection = mapShardSelection(selectorOf(part));
        const last = runs.at(-1);
        const same = last !== undefined && nameOrNone(last.selection) === nameOrNone(selection);
        if (same) last.parts.push(part);
        else runs.push({ selection, parts: [part] });
      }
      if (runs.length < 2) return runOf(localName, runs[0]?.selection)(bytes, call);
      const pieces = runs.map(({ parts }) => toBinary(input, create(input, { ...message, [field]: parts } as never)));
      const answers: Batch[] = [];
      for (const [i, piece] of pieces.entries()) {
        const answer = await runOf(localName, runs[i]?.selection)(piece, call);
        answers.push(fromBinary(output, answer) as unknown as Batch);
      }
      const result = answers.flatMap((answer) => answer.result);
      const time = answers.reduce((sum, answer) => sum + (answer.time as number), 0);
      return toBinary(output, create(output, { ...answers.at(-1), result, time } as never));
    };
  }

  const table: Record<string, AnyHandler> = { ...whole.table };
  for (const method of whole.service.methods) {
    const { localName, input } = method;
    const handler = whole.table[localName];
    const parts = partsOf[localName];
    const read = shardSelectionReader(input);
    if (handler?.kind === "raw_unary" && parts !== undefined) {
      table[localName] = { kind: "raw_unary", handleBytes: batch(method, parts) };
    } else if (handler?.kind === "raw_unary" && read !== undefined) {
      table[localName] = {
        kind: "raw_unary",
        handleBytes: (bytes, call) => runOf(localName, read(bytes))(bytes, call),
      };
    } else if (handler?.kind === "unary" && read !== undefined) {
      table[localName] = {
        kind: "unary",
        handle: (request: never, call: CallContext) => {
          const selection = mapShardSelection(selectorOf(request));
          const chosen = handlerOf(localName, selection) as typeof handler;
          return chosen.handle(request, call);
        },
      };
    }
  }
  return { service: whole.service, table };
}

const nameOrNone = (selection: ShardSelection | undefined): string =>
  selection === undefined ? "" : nameOf(selection);

/** Of a request, or of a part of a batch of updates, whose kind of operation holds it. */
function selectorOf(request: unknown): ShardKeySelector | undefined {
  const { shardKeySelector, operation } = request as {
    readonly shardKeySelector?: ShardKeySelector;
    readonly operation?: { readonly value?: { readonly shardKeySelector?: ShardKeySelector } };
  };
  return shardKeySelector ?? operation?.value?.shardKeySelector;
}
