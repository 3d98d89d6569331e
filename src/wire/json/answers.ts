/** Every RPC's answer as the JSON of REST's `result`. Hot ones are written from their bytes, with pauses; the others by the generated code. */
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import * as c from "../../../gen/qdrant/collections_pb.js";
import * as p from "../../../gen/qdrant/points_pb.js";
import type { PointId } from "../../../gen/qdrant/qdrant_common_pb.js";
import * as s from "../../../gen/qdrant/snapshots_service_pb.js";
import { limits } from "../../core/index.ts";
import type { Pauses } from "../answers.ts";
import { floatText } from "../number-text.ts";
import { ByteReader } from "../proto-bytes.ts";
import { Pieces } from "./pieces.ts";
import { s5Answers } from "./s5.ts";
import { collectionInfoText, Raw, textOf } from "./write-config.ts";
import { eachField, idText, inside, stringText, unsignedText } from "./write-values.ts";

/** Writes the points of an answer as JSON: nativeRenderPoints, which this room cannot import. */
export type PointRenderer = (
  message: Uint8Array,
  at: number,
  end: number,
  tag: number,
  form: PointForm,
  most: number,
) => { readonly text: string; readonly next: number };

interface PointForm {
  readonly scored: boolean;
  readonly payload: boolean;
}

/** What the rendering of an answer needs besides it. */
interface Rendering {
  readonly pauses: Pauses;
  readonly points: PointRenderer;
}

/** `payload`: of encodeRestRequest. Gives the text of `result`, in pieces where it may be long. */
type Render = (bytes: Uint8Array, payload: readonly boolean[], rendering: Rendering) => string | Promise<Pieces>;

/** A list of the points under `tag`. Slices of it are written at once, and pauses come between them. */
async function pushPoints(
  into: Pieces,
  r: ByteReader,
  tag: number,
  form: PointForm,
  { pauses, points }: Rendering,
  other?: (tag: number) => boolean,
): Promise<Pieces> {
  let before = "[";
  while (r.pos < r.end) {
    const { text, next } = points(r.bytes, r.pos, r.end, tag, form, limits.restPieceChars);
    r.pos = next;
    if (text === "") {
      const found = r.uint32();
      if (other?.(found) !== true) r.skip(found);
      continue;
    }
    into.push(before).push(text);
    before = ",";
    if (pauses.due()) await pauses.yield();
  }
  return into.push(before === "[" ? "[]" : "]");
}

/** One point, of which the reader stands behind the tag. */
function pointText(r: ByteReader, tag: number, form: PointForm, points: PointRenderer): string {
  // Tags of one byte, as all of these are.
  const at = r.pos - 1;
  r.range();
  return points(r.bytes, at, r.stop, tag, form, limits.restPieceChars).text;
}

/** A list of what stands under `tag`. Members are many only here, so pauses come between them. */
async function pushList(
  into: Pieces,
  r: ByteReader,
  tag: number,
  write: (r: ByteReader) => string,
  pauses: Pauses,
): Promise<Pieces> {
  let before = "[";
  while (r.pos < r.end) {
    const found = r.uint32();
    if (found === tag) {
      into.push(before).push(write(r));
      before = ",";
      if (pauses.due()) await pauses.yield();
    } else r.skip(found);
  }
  return into.push(before === "[" ? "[]" : "]");
}

const scored = (payload: boolean | undefined): PointForm => ({ scored: true, payload: payload === true });
const retrieved = (payload: boolean | undefined): PointForm => ({ scored: false, payload: payload === true });

const scoredList: Render = (bytes, payload, rendering) =>
  pushPoints(new Pieces(), new ByteReader(bytes), 0x0a, scored(payload[0]), rendering);

const queryPoints: Render = async (bytes, payload, rendering) => {
  const into = new Pieces().push('{"points":');
  await pushPoints(into, new ByteReader(bytes), 0x0a, scored(payload[0]), rendering);
  return into.push("}");
};

/** BatchResult { result = 1 } under field 1. */
const batches =
  (head: string, tail: string): Render =>
  async (bytes, payload, rendering) => {
    const into = new Pieces();
    let count = 0;
    const r = new ByteReader(bytes);
    while (r.pos < r.end) {
      const tag = r.uint32();
      if (tag !== 0x0a) {
        r.skip(tag);
        continue;
      }
      r.range();
      const inner = new ByteReader(bytes, r.start, r.stop);
      into.push(count === 0 ? "[" : ",").push(head);
      await pushPoints(into, inner, 0x0a, scored(payload[count]), rendering);
      into.push(tail);
      count += 1;
    }
    return into.push(count === 0 ? "[]" : "]");
  };

/** GroupId { unsigned_value = 1, integer_value = 2, string_value = 3 } */
function groupIdText(r: ByteReader): string {
  let text = "null";
  eachField(r, (tag) => {
    if (tag === 0x08) text = unsignedText(r);
    else if (tag === 0x10) text = BigInt.asIntN(64, r.int64()).toString();
    else if (tag === 0x1a) text = utf8Text(r);
    else return false;
    return true;
  });
  return text;
}

/** GroupsResult { groups = 1: PointGroup { id = 1, hits = 2, lookup = 3 } } under field 1. */
const groups: Render = async (bytes, payload, { pauses, points }) => {
  const readGroup = (r: ByteReader): string =>
    inside(r, () => {
      let id = "null";
      const hits: string[] = [];
      let lookup: string | undefined;
      eachField(r, (tag) => {
        if (tag === 0x0a) id = inside(r, () => groupIdText(r));
        else if (tag === 0x12) hits.push(pointText(r, tag, scored(payload[0]), points));
        else if (tag === 0x1a) lookup = pointText(r, tag, retrieved(true), points);
        else return false;
        return true;
      });
      return `{"hits":[${hits.join(",")}],"id":${id}${lookup === undefined ? "" : `,"lookup":${lookup}`}}`;
    });
  const into = new Pieces().push('{"groups":');
  const r = new ByteReader(bytes);
  let inner = new ByteReader(bytes, 0, 0);
  eachField(r, (tag) => {
    if (tag !== 0x0a) return false;
    r.range();
    inner = new ByteReader(bytes, r.start, r.stop);
    return true;
  });
  await pushList(into, inner, 0x0a, readGroup, pauses);
  return into.push("}");
};

const records: Render = (bytes, payload, rendering) =>
  pushPoints(new Pieces(), new ByteReader(bytes), 0x0a, retrieved(payload[0]), rendering);

/** The one point; "" when there is none. */
const record: Render = (bytes, payload, { points }) => {
  const r = new ByteReader(bytes);
  let text = "";
  eachField(r, (tag) => {
    if (tag !== 0x0a) return false;
    text = pointText(r, tag, retrieved(payload[0]), points);
    return true;
  });
  return text;
};

/** ScrollResponse { next_page_offset = 1, result = 2 } */
const scrolled: Render = async (bytes, payload, rendering) => {
  let next = "null";
  const r = new ByteReader(bytes);
  const into = new Pieces().push('{"points":');
  await pushPoints(into, r, 0x12, retrieved(payload[0]), rendering, (tag) => {
    if (tag !== 0x0a) return false;
    next = idText(r);
    return true;
  });
  return into.push(`,"next_page_offset":${next}}`);
};

/** FacetHit { value = 1: FacetValue { string_value = 1, integer_value = 2, bool_value = 3 }, count = 2 } under field 1. */
const facet: Render = async (bytes, _payload, { pauses }) => {
  const into = new Pieces().push('{"hits":');
  await pushList(into, new ByteReader(bytes), 0x0a, (r) => inside(r, () => facetHitText(r)), pauses);
  return into.push("}");
};

function facetHitText(r: ByteReader): string {
  let value = "null";
  let count = "0";
  eachField(r, (tag) => {
    if (tag === 0x0a) value = inside(r, () => facetValueText(r));
    else if (tag === 0x10) count = unsignedText(r);
    else return false;
    return true;
  });
  return `{"value":${value},"count":${count}}`;
}

function facetValueText(r: ByteReader): string {
  let text = "null";
  eachField(r, (tag) => {
    if (tag === 0x0a) text = utf8Text(r);
    else if (tag === 0x10) text = BigInt.asIntN(64, r.int64()).toString();
    else if (tag === 0x18) text = r.int64() === 0n ? "false" : "true";
    else return false;
    return true;
  });
  return text;
}

function utf8Text(r: ByteReader): string {
  r.range();
  return stringText(Buffer.from(r.bytes.buffer, r.bytes.byteOffset + r.start, r.stop - r.start).toString("utf8"));
}

const statuses: Readonly<Record<number, string>> = {
  [p.UpdateStatus.Acknowledged]: "acknowledged",
  [p.UpdateStatus.Completed]: "completed",
  [p.UpdateStatus.ClockRejected]: "acknowledged",
  [p.UpdateStatus.WaitTimeout]: "wait_timeout",
};

function updateText({ operationId, status }: p.UpdateResult): string {
  const id = operationId === undefined ? "null" : String(operationId);
  return `{"operation_id":${id},"status":"${statuses[status] ?? "completed"}"}`;
}

function decoded<S extends DescMessage>(
  desc: S,
  write: (message: MessageShape<S>) => string,
): (bytes: Uint8Array) => string {
  return (bytes) => write(fromBinary(desc, bytes));
}

const update = decoded(p.PointsOperationResponseSchema, ({ result }) =>
  result === undefined ? "null" : updateText(result),
);

const aliases = decoded(c.ListAliasesResponseSchema, (message) =>
  textOf({
    aliases: message.aliases.map((one) => ({ alias_name: one.aliasName, collection_name: one.collectionName })),
  }),
);

const done = decoded(c.CollectionOperationResponseSchema, ({ result }) => String(result));

function pointId(id: PointId | undefined): bigint | string | null {
  return id?.pointIdOptions.value ?? null;
}

function snapshotText(one: s.SnapshotDescription | undefined): string {
  if (one === undefined) return "null";
  const { creationTime: time } = one;
  const created = time === undefined ? null : new Date(Number(time.seconds) * 1_000).toISOString().slice(0, 19);
  return textOf({ name: one.name, creation_time: created, size: one.size, checksum: one.checksum ?? null });
}

const snapshot = decoded(s.CreateSnapshotResponseSchema, (message) => snapshotText(message.snapshotDescription));
const snapshots = decoded(
  s.ListSnapshotsResponseSchema,
  (message) => `[${message.snapshotDescriptions.map(snapshotText).join(",")}]`,
);

const renderers = {
  done,
  update,
  updates: decoded(p.UpdateBatchResponseSchema, ({ result }) => `[${result.map(updateText).join(",")}]`),
  scoredList,
  queryPoints,
  scoredLists: batches("", ""),
  queryBatch: batches('{"points":', "}"),
  groups,
  records,
  record,
  scrolled,
  count: decoded(p.CountResponseSchema, ({ result }) => `{"count":${result?.count ?? 0n}}`),
  facet,
  matrixPairs: decoded(p.SearchMatrixPairsResponseSchema, ({ result }) =>
    textOf({
      pairs: (result?.pairs ?? []).map(({ a, b, score }) => ({
        a: pointId(a),
        b: pointId(b),
        score: new Raw(floatText(score)),
      })),
    }),
  ),
  matrixOffsets: decoded(p.SearchMatrixOffsetsResponseSchema, ({ result }) =>
    textOf({
      offsets_row: result?.offsetsRow ?? [],
      offsets_col: result?.offsetsCol ?? [],
      scores: (result?.scores ?? []).map((score) => new Raw(floatText(score))),
      ids: (result?.ids ?? []).map(pointId),
    }),
  ),
  collection: decoded(c.GetCollectionInfoResponseSchema, ({ result }) =>
    result === undefined ? "null" : collectionInfoText(result),
  ),
  collections: decoded(c.ListCollectionsResponseSchema, (message) =>
    textOf({ collections: message.collections.map(({ name }) => ({ name })) }),
  ),
  exists: decoded(c.CollectionExistsResponseSchema, ({ result }) => `{"exists":${result?.exists === true}}`),
  aliases,
  cluster: decoded(c.CollectionClusterInfoResponseSchema, (message) =>
    textOf({
      peer_id: message.peerId,
      shard_count: message.shardCount,
      local_shards: message.localShards.map(({ shardId, pointsCount, state, shardKey }) => ({
        shard_id: shardId,
        ...(shardKey === undefined ? {} : { shard_key: shardKey.key.value }),
        points_count: pointsCount,
        state: c.ReplicaState[state],
      })),
      remote_shards: [],
      shard_transfers: [],
    }),
  ),
  /** Null: there are none, as Qdrant says it. */
  shardKeys: decoded(c.ListShardKeysResponseSchema, ({ shardKeys }) =>
    textOf({ shard_keys: shardKeys.length === 0 ? null : shardKeys.map(({ key }) => ({ key: key?.key.value })) }),
  ),
  snapshot,
  snapshots,
  yes: () => "true",
  ...s5Answers,
} as const satisfies Readonly<Record<string, Render>>;

export type RestAnswerName = keyof typeof renderers;

/** The text of `result`: "" for a point that is not there, in pieces where it may be long. */
export async function renderRestAnswer(
  name: RestAnswerName,
  bytes: Uint8Array,
  payload: readonly boolean[],
  rendering: Rendering,
): Promise<readonly string[]> {
  const text = await renderers[name](bytes, payload, rendering);
  return typeof text === "string" ? [text] : text.finish();
}
