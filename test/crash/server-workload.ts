/** What several clients do to one server that is killed under them: each has ids of its own, a model of them, and one call in flight. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { FieldType, type PointStructSchema, UpdateMode } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Ingest } from "../../gen/sealpoint/v1/ingest_pb.js";
import { dense, integer, num } from "../e2e/messages.ts";
import type { Call } from "../e2e/server-process.ts";
import type { randomOf } from "./workload.ts";

export const dimensions = 8;
const idsEach = 250;
/** Ids of client c begin at c times this. */
export const idsApart = 10_000;

export interface Held {
  readonly vector: readonly number[];
  readonly n: number;
  readonly tag?: number;
}
export type HeldPoints = Map<number, Held>;
export type Random = ReturnType<typeof randomOf>;

/** One write: how to ask for it, and what it makes of the model. */
interface Step {
  readonly name: string;
  run(client: Call): Promise<unknown>;
  apply(model: HeldPoints): void;
}

const range = (key: string, gte: number, lt: number) => ({
  conditionOneOf: { case: "field" as const, value: { key, range: { gte, lt } } },
});
/** A client's own points whose n lies in a range. */
export const ownRange = (owner: number, from: number, to: number) => ({
  must: [range("owner", owner, owner + 1), range("n", from, to)],
});
const pointOf = (owner: number, id: number, { vector, n, tag }: Held): MessageInitShape<typeof PointStructSchema> => ({
  id: num(id),
  vectors: dense(...vector),
  payload: { owner: integer(owner), n: integer(n), ...(tag === undefined ? {} : { tag: integer(tag) }) },
});

function batchOf(owner: number, random: Random, most: number): [number, Held][] {
  const int = (below: number) => Math.floor(random() * below);
  const ids = new Set(Array.from({ length: 1 + int(most) }, () => owner * idsApart + int(idsEach)));
  return [...ids].map((id) => [
    id,
    { vector: Array.from({ length: dimensions }, () => Math.fround(random() - 0.5)), n: int(1000) },
  ]);
}

/** A random write of a client; the same for the same state of `random`. */
export function stepOf(collectionName: string, owner: number, random: Random): Step {
  const int = (below: number) => Math.floor(random() * below);
  const kind = int(10);
  const wait = true;
  const from = int(1000);
  const filter = ownRange(owner, from, from + 80);
  const matches = ({ n }: Held) => n >= from && n < from + 80;
  const points = batchOf(owner, random, 40);
  const encoded = points.map(([id, held]) => pointOf(owner, id, held));
  if (kind < 4) {
    return {
      name: "upsert",
      run: (client) => client.call(Points.method.upsert, { collectionName, wait, points: encoded }),
      apply: (model) => {
        for (const [id, held] of points) model.set(id, held);
      },
    };
  }
  if (kind === 4) {
    return {
      name: "insert only",
      run: (client) =>
        client.call(Points.method.upsert, { collectionName, wait, points: encoded, updateMode: UpdateMode.InsertOnly }),
      apply: (model) => {
        for (const [id, held] of points) if (!model.has(id)) model.set(id, held);
      },
    };
  }
  if (kind === 5) {
    return {
      name: "upsert under a condition",
      run: (client) =>
        client.call(Points.method.upsert, { collectionName, wait, points: encoded, updateFilter: filter }),
      apply: (model) => {
        for (const [id, held] of points) {
          const there = model.get(id);
          if (there === undefined || matches(there)) model.set(id, held);
        }
      },
    };
  }
  if (kind === 6) {
    const ids = points.map(([id]) => id);
    return {
      name: "delete by ids",
      run: (client) =>
        client.call(Points.method.delete, {
          collectionName,
          wait,
          points: { pointsSelectorOneOf: { case: "points", value: { ids: ids.map(num) } } },
        }),
      apply: (model) => {
        for (const id of ids) model.delete(id);
      },
    };
  }
  const selector = { pointsSelectorOneOf: { case: "filter" as const, value: filter } };
  if (kind === 7) {
    return {
      name: "delete by filter",
      run: (client) => client.call(Points.method.delete, { collectionName, wait, points: selector }),
      apply: (model) => {
        for (const [id, held] of [...model]) if (matches(held)) model.delete(id);
      },
    };
  }
  const tag = int(1_000_000);
  if (kind === 8) {
    return {
      name: "set payload",
      run: (client) =>
        client.call(Points.method.setPayload, {
          collectionName,
          wait,
          payload: { tag: integer(tag) },
          pointsSelector: selector,
        }),
      apply: (model) => {
        for (const [id, held] of [...model]) if (matches(held)) model.set(id, { ...held, tag });
      },
    };
  }
  return {
    name: "delete payload",
    run: (client) =>
      client.call(Points.method.deletePayload, { collectionName, wait, keys: ["tag"], pointsSelector: selector }),
    apply: (model) => {
      for (const [id, { vector, n }] of [...model]) if (matches(model.get(id) as Held)) model.set(id, { vector, n });
    },
  };
}

/** Writes one after the other until the server is gone; what holds then is `model`, or `model` with `inFlight` on it. */
export class UnaryClient {
  model: HeldPoints = new Map();
  inFlight: Step | undefined;
  done = 0;

  readonly collectionName: string;
  readonly owner: number;
  readonly random: Random;

  constructor(collectionName: string, owner: number, random: Random) {
    this.collectionName = collectionName;
    this.owner = owner;
    this.random = random;
  }

  async run(client: Call): Promise<void> {
    for (;;) {
      this.inFlight = stepOf(this.collectionName, this.owner, this.random);
      await this.inFlight.run(client);
      this.inFlight.apply(this.model);
      this.inFlight = undefined;
      this.done++;
    }
  }

  /** The models that a state found after the kill may be equal to. */
  possible(): HeldPoints[] {
    const later = new Map(this.model);
    this.inFlight?.apply(later);
    return this.inFlight === undefined ? [this.model] : [this.model, later];
  }

  /** Which of possible() it was. */
  settle(which: number): void {
    this.model = this.possible()[which] as HeldPoints;
    this.inFlight = undefined;
  }
}

/** Streams chunks, several unacknowledged at a time; resumes where the server says that it stands. */
export class StreamClient {
  model: HeldPoints = new Map();
  /** Chunks that were sent and not acknowledged, by their sequence. */
  sent = new Map<number, [number, Held][]>();
  acknowledged = 0;
  done = 0;

  readonly collectionName: string;
  readonly owner: number;
  readonly random: Random;

  constructor(collectionName: string, owner: number, random: Random) {
    this.collectionName = collectionName;
    this.owner = owner;
    this.random = random;
  }

  async run(client: Call): Promise<void> {
    const stream = client.bidi(Ingest.method.bulkUpsert);
    const streamId = `stream-${this.owner}`;
    stream.send({ message: { case: "start", value: { collectionName: this.collectionName, streamId } } });
    const started = (await stream.next())?.message;
    if (started?.case !== "started") throw new Error("the stream did not start");
    const at = Number(started.value.lastAppliedSequence);
    if (at !== this.acknowledged) throw new Error(`the stream resumes at ${at}, not at ${this.acknowledged}`);
    let next = at + 1;
    for (;;) {
      while (next <= this.acknowledged + 8) {
        const points = batchOf(this.owner, this.random, 30);
        this.sent.set(next, points);
        const encoded = points.map(([id, held]) => pointOf(this.owner, id, held));
        stream.send({ message: { case: "chunk", value: { sequence: BigInt(next), points: encoded } } });
        next++;
      }
      const message = (await stream.next())?.message;
      if (message?.case !== "ack") throw new Error(`no acknowledgement but ${message?.case}`);
      if (message.value.refused.length > 0) throw new Error("the server refused points");
      this.take(Number(message.value.sequence));
      this.done++;
    }
  }

  private take(sequence: number): void {
    for (const [id, held] of this.sent.get(sequence) ?? []) this.model.set(id, held);
    this.sent.delete(sequence);
    this.acknowledged = sequence;
  }

  possible(): HeldPoints[] {
    const models = [this.model];
    for (let sequence = this.acknowledged + 1; this.sent.has(sequence); sequence++) {
      const next = new Map(models.at(-1));
      for (const [id, held] of this.sent.get(sequence) ?? []) next.set(id, held);
      models.push(next);
    }
    return models;
  }

  settle(which: number): void {
    this.model = this.possible()[which] as HeldPoints;
    this.acknowledged += which;
    this.sent.clear();
  }
}

/** Makes and drops the index of `tag`, waiting for it or not. */
export class IndexClient {
  exists = false;
  unsure = false;
  done = 0;

  readonly collectionName: string;
  readonly random: Random;

  constructor(collectionName: string, random: Random) {
    this.collectionName = collectionName;
    this.random = random;
  }

  async run(client: Call): Promise<void> {
    const { collectionName } = this;
    for (;;) {
      this.unsure = true;
      const wait = this.random() < 0.5;
      if (this.exists) {
        await client.call(Points.method.deleteFieldIndex, { collectionName, wait: true, fieldName: "tag" });
      } else {
        const fieldType = FieldType.FieldTypeInteger;
        await client.call(Points.method.createFieldIndex, { collectionName, wait, fieldName: "tag", fieldType });
      }
      this.exists = !this.exists;
      this.unsure = false;
      this.done++;
      await new Promise((resolve) => setTimeout(resolve, this.random() * 60));
    }
  }
}
