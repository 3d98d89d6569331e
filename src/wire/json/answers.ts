/** Every RPC's answer as the JSON of REST's `result`. Hot ones are written from their bytes, with pauses; the others by the generated code. */
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import * as c from "../../../gen/qdrant/collections_pb.js";
import * as p from "../../../gen/qdrant/points_pb.js";
import type { PointId } from "../../../gen/qdrant/qdrant_common_pb.js";
import * as s from "../../../gen/qdrant/snapshots_service_pb.js";
import type { Pauses } from "../answers.ts";
import { ByteReader } from "../proto-bytes.ts";
import { collectionInfoText, Raw, textOf } from "./write-config.ts";
import {
  eachField,
  floatText,
  idText,
  inside,
  recordText,
  scoredText,
  stringText,
  unsignedText,
} from "./write-values.ts";

/** `payload`: of encodeRestRequest. Gives the text of `result`. */
type Render = (bytes: Uint8Array, payload: readonly boolean[], pauses: Pauses) => string | Promise<string>;

/** Points are many only here, so pauses come between them. */
async function listText(
  r: ByteReader,
  tag: number,
  write: (r: ByteReader) => string,
  pauses: Pauses,
  other?: (tag: number) => boolean,
): Promise<string> {
  const parts: string[] = [];
  while (r.pos < r.end) {
    const found = r.uint32();
    if (found === tag) {
      parts.push(write(r));
      if (pauses.due()) await pauses.yield();
    } else if (other?.(found) !== true) r.skip(found);
  }
  return `[${parts.join(",")}]`;
}

const scoredList: Render = (bytes, payload, pauses) =>
  listText(new ByteReader(bytes), 0x0a, (r) => scoredText(r, payload[0] === true), pauses);

const queryPoints: Render = async (bytes, payload, pauses) => `{"points":${await scoredList(bytes, payload, pauses)}}`;

/** BatchResult { result = 1 } under field 1. */
const batches =
  (wrap: (list: string) => string): Render =>
  async (bytes, payload, pauses) => {
    const parts: string[] = [];
    const r = new ByteReader(bytes);
    while (r.pos < r.end) {
      const tag = r.uint32();
      if (tag !== 0x0a) {
        r.skip(tag);
        continue;
      }
      r.range();
      const inner = new ByteReader(bytes, r.start, r.stop);
      const shown = payload[parts.length] === true;
      parts.push(wrap(await listText(inner, 0x0a, (one) => scoredText(one, shown), pauses)));
    }
    return `[${parts.join(",")}]`;
  };

/** GroupId { unsigned_value = 1, integer_value = 2, string_value = 3 } */
function groupIdText(r: ByteReader): string {
  let text = "null";
  eachField(r, (tag) => {
    if (tag === 0x08) text = unsignedText(r);
    else if (tag === 0x10) text = BigInt.asIntN(64, r.int64()).toString();
    else if (tag === 0x1a) {
      r.range();
      text = stringText(Buffer.from(r.bytes.buffer, r.bytes.byteOffset + r.start, r.stop - r.start).toString("utf8"));
    } else return false;
    return true;
  });
  return text;
}

/** GroupsResult { groups = 1: PointGroup { id = 1, hits = 2, lookup = 3 } } under field 1. */
const groups: Render = (bytes, payload) => {
  const shown = payload[0] === true;
  const list: string[] = [];
  const r = new ByteReader(bytes);
  const readGroup = (): void => {
    let id = "null";
    const hits: string[] = [];
    let lookup: string | undefined;
    eachField(r, (tag) => {
      if (tag === 0x0a) id = inside(r, () => groupIdText(r));
      else if (tag === 0x12) hits.push(scoredText(r, shown));
      else if (tag === 0x1a) lookup = recordText(r, true);
      else return false;
      return true;
    });
    list.push(`{"hits":[${hits.join(",")}],"id":${id}${lookup === undefined ? "" : `,"lookup":${lookup}`}}`);
  };
  eachField(r, (tag) => {
    if (tag !== 0x0a) return false;
    inside(r, () =>
      eachField(r, (inner) => {
        if (inner !== 0x0a) return false;
        inside(r, readGroup);
        return true;
      }),
    );
    return true;
  });
  return `{"groups":[${list.join(",")}]}`;
};

const records: Render = (bytes, payload, pauses) =>
  listText(new ByteReader(bytes), 0x0a, (r) => recordText(r, payload[0] === true), pauses);

/** The one point; "" when there is none. */
const record: Render = async (bytes, payload, pauses) => (await records(bytes, payload, pauses)).slice(1, -1);

/** ScrollResponse { next_page_offset = 1, result = 2 } */
const scrolled: Render = async (bytes, payload, pauses) => {
  let next = "null";
  const r = new ByteReader(bytes);
  const points = await listText(
    r,
    0x12,
    (one) => recordText(one, payload[0] === true),
    pauses,
    (tag) => {
      if (tag !== 0x0a) return false;
      next = idText(r);
      return true;
    },
  );
  return `{"points":${points},"next_page_offset":${next}}`;
};

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

function decoded<S extends DescMessage>(desc: S, write: (message: MessageShape<S>) => string): Render {
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

function facetValue({ value }: p.FacetHit): string | bigint | boolean | null {
  return value?.variant.value ?? null;
}

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
  scoredLists: batches((list) => list),
  queryBatch: batches((list) => `{"points":${list}}`),
  groups,
  records,
  record,
  scrolled,
  count: decoded(p.CountResponseSchema, ({ result }) => `{"count":${result?.count ?? 0n}}`),
  facet: decoded(p.FacetResponseSchema, ({ hits }) =>
    textOf({ hits: hits.map((hit) => ({ value: facetValue(hit), count: hit.count })) }),
  ),
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
      local_shards: message.localShards.map(({ shardId, pointsCount, state }) => ({
        shard_id: shardId,
        points_count: pointsCount,
        state: c.ReplicaState[state],
      })),
      remote_shards: [],
      shard_transfers: [],
    }),
  ),
  shardKeys: decoded(c.ListShardKeysResponseSchema, (message) =>
    textOf({ shard_keys: message.shardKeys.map(({ key }) => ({ key: key?.key.value ?? null })) }),
  ),
  snapshot,
  snapshots,
  yes: () => "true",
} as const satisfies Readonly<Record<string, Render>>;

export type RestAnswerName = keyof typeof renderers;

export function renderRestAnswer(
  name: RestAnswerName,
  bytes: Uint8Array,
  payload: readonly boolean[],
  pauses: Pauses,
): string | Promise<string> {
  return renderers[name](bytes, payload, pauses);
}
