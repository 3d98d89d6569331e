/** Calls of qdrant.Points that name shards run over a view of those shards; a batch of reads whose parts name different ones runs in pieces, in order. */
import type { ShardKeySelector } from "../../../../gen/qdrant/points_pb.js";
import { limits, nameOfSelection, type ShardSelection } from "../../../core/index.ts";
import type { SealedEngine } from "../../../engine/index.ts";
import { batchCutter, joinAnswers, mapShardSelection, shardSelectionReader } from "../../../wire/index.ts";
import type { AnyHandler, CallContext, ServiceBinding } from "../call.ts";

type Run = (bytes: Uint8Array, call: CallContext) => Promise<Uint8Array>;
type Method = ServiceBinding["service"]["methods"][number];
/** Batches of reads, each with the field of its parts. Of updates each operation brings its selection along. */
const partsOf: Readonly<Record<string, string>> = {
  searchBatch: "searchPoints",
  recommendBatch: "recommendPoints",
  discoverBatch: "discoverPoints",
  queryBatch: "queryPoints",
};

/** `bind`: the service over the chosen shards; undefined: all of them. `engine`: what judges a batch as a whole. */
export function withShards(
  bind: (selection: ShardSelection | undefined) => ServiceBinding,
  engine: SealedEngine,
): ServiceBinding {
  const whole = bind(undefined);
  const views = new Map<string, ServiceBinding>();

  function handlerOf(localName: string, selection: ShardSelection | undefined): AnyHandler | undefined {
    if (selection === undefined) return whole.table[localName];
    const name = nameOfSelection(selection);
    const view = views.get(name) ?? bind(selection);
    views.delete(name);
    views.set(name, view);
    if (views.size > limits.guardedTablesMax) views.delete(views.keys().next().value as string);
    return view.table[localName];
  }

  const runOf = (localName: string, selection: ShardSelection | undefined): Run =>
    (handlerOf(localName, selection) as { readonly handleBytes: Run }).handleBytes;

  function batch({ localName, input, output }: Method, field: string): Run {
    const cut = batchCutter(input, field);
    return async (bytes, call) => {
      const { collection, parts, pieces } = cut(bytes);
      if (pieces.length > 1) await engine.admit(collection, { searches: parts });
      const answers: Uint8Array[] = [];
      for (const piece of pieces) {
        call.throwIfAborted();
        answers.push(await runOf(localName, piece.selection)(piece.bytes, call));
      }
      const [only] = answers;
      return answers.length === 1 && only !== undefined ? only : joinAnswers(output, answers);
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
          const { shardKeySelector } = request as { readonly shardKeySelector?: ShardKeySelector };
          const selection = mapShardSelection(shardKeySelector);
          const chosen = handlerOf(localName, selection) as typeof handler;
          return chosen.handle(request, call);
        },
      };
    }
  }
  return { service: whole.service, table };
}
