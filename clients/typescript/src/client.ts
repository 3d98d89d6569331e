/** The client: typed stubs of every service, and the common things in few words. */
import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials as grpcCredentials,
  type Interceptor,
  Metadata,
} from "@grpc/grpc-js";
import { Distance } from "../gen/qdrant/collections_pb.js";
import { Collections } from "../gen/qdrant/collections_service_pb.js";
import { Points } from "../gen/qdrant/points_service_pb.js";
import type { FilterSchema } from "../gen/qdrant/qdrant_common_pb.js";
import { Diagnostics } from "../gen/sealpoint/v1/diagnostics_pb.js";
import { type BulkUpsertAck, Ingest } from "../gen/sealpoint/v1/ingest_pb.js";
import { type LoadRequestSchema, type LoadResponse, S5 } from "../gen/sealpoint/v1/s5_pb.js";
import { type GetPolicyResponseSchema, Sealing, type SetPolicyRequestSchema } from "../gen/sealpoint/v1/sealing_pb.js";
import { type BulkUpsertOptions, bulkUpsert, type PointInit } from "./bulk-upsert.ts";
import { sealingInterceptor } from "./interceptor.ts";
import { idFromMessage, idToMessage, payloadFromMessage, payloadToMessage, type SealingOptions } from "./messages.ts";
import { fromPayload, type JsPayload, type PlainValue, toPayload } from "./payload-js.ts";
import type { PointId } from "./seal/payload.ts";
import { createStub, type Stub } from "./stub.ts";

export interface ConnectOptions {
  /** Plaintext by default, for a server on this machine. */
  readonly credentials?: ChannelCredentials;
  readonly apiKey?: string;
  /** What to seal writes with and open answers with, pinned by you. */
  readonly sealing?: SealingOptions;
  readonly interceptors?: readonly Interceptor[];
  /** Bytes of one message. */
  readonly messageBytesMax?: number;
}

type Vector = readonly number[] | Float32Array;

export interface Point {
  readonly id: PointId | number;
  /** One unnamed vector, or several by name. */
  readonly vector?: Vector | { readonly [name: string]: Vector };
  readonly payload?: JsPayload;
  /** Recipient for whom the server seals; seal in the client where you can (ConnectOptions.sealing). */
  readonly publicKey?: string;
}

export interface Hit {
  readonly id: PointId;
  readonly score: number;
  readonly payload: { [key: string]: PlainValue };
}

export interface StoredPoint {
  readonly id: PointId;
  readonly payload: { [key: string]: PlainValue };
}

export interface QueryOptions {
  readonly vector: Vector | PointId;
  readonly limit?: number;
  readonly offset?: number;
  readonly filter?: MessageInitShape<typeof FilterSchema>;
  readonly using?: string;
  readonly hnswEf?: number;
  readonly scoreThreshold?: number;
  readonly withPayload?: boolean;
  readonly signal?: AbortSignal;
}

export interface ScrollOptions {
  readonly filter?: MessageInitShape<typeof FilterSchema>;
  /** Points with ids after this one: the last id of an earlier run. */
  readonly after?: PointId | number;
  readonly limit?: number;
  readonly pageSize?: number;
  readonly withPayload?: boolean;
  readonly signal?: AbortSignal;
}

/** LoadRequest with its target by name: one of the two. */
export type S5LoadOptions = Omit<MessageInitShape<typeof LoadRequestSchema>, "target" | "$typeName"> & {
  readonly sessionId?: string;
  readonly collectionName?: string;
};

export interface NewCollection {
  readonly size: number;
  readonly distance?: "cosine" | "dot" | "euclid" | "manhattan";
  /** In force from the first write. */
  readonly sealing?: MessageInitShape<typeof SetPolicyRequestSchema>["policy"];
}

const distances = {
  cosine: Distance.Cosine,
  dot: Distance.Dot,
  euclid: Distance.Euclid,
  manhattan: Distance.Manhattan,
};

/** Opens a client; the connection itself is made by the first call. */
export function connect(address: string, options: ConnectOptions = {}): SealpointClient {
  return new SealpointClient(address, options);
}

export class SealpointClient implements AsyncDisposable {
  readonly collections: Stub<typeof Collections>;
  readonly points: Stub<typeof Points>;
  readonly ingest: Stub<typeof Ingest>;
  readonly sealing: Stub<typeof Sealing>;
  readonly diagnostics: Stub<typeof Diagnostics>;
  /** Encrypted databases from S5; loads are easier with s5Load. */
  readonly s5: Stub<typeof S5>;
  private readonly channel: Client;

  constructor(address: string, options: ConnectOptions) {
    const bytes = options.messageBytesMax ?? 64 * 1024 * 1024;
    const { apiKey } = options;
    // Interceptors run in order: the caller's own see plaintext, the wire sees envelopes.
    const interceptors = [...(options.interceptors ?? [])];
    if (options.sealing !== undefined) interceptors.push(sealingInterceptor(options.sealing));
    if (apiKey !== undefined) interceptors.push(apiKeyInterceptor(apiKey));
    this.channel = new Client(address, options.credentials ?? grpcCredentials.createInsecure(), {
      interceptors,
      "grpc.max_receive_message_length": bytes,
      "grpc.max_send_message_length": bytes,
    });
    this.collections = createStub(this.channel, Collections);
    this.points = createStub(this.channel, Points);
    this.ingest = createStub(this.channel, Ingest);
    this.sealing = createStub(this.channel, Sealing);
    this.diagnostics = createStub(this.channel, Diagnostics);
    this.s5 = createStub(this.channel, S5);
  }

  close(): void {
    this.channel.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async createCollection(name: string, { size, distance = "cosine", sealing }: NewCollection): Promise<void> {
    const params = { size: BigInt(size), distance: distances[distance] };
    await this.collections.create({
      collectionName: name,
      vectorsConfig: { config: { case: "params", value: params } },
      sealing,
    });
  }

  /** False when there was none. */
  async deleteCollection(name: string): Promise<boolean> {
    return (await this.collections.delete({ collectionName: name })).result;
  }

  async setPolicy(
    collectionName: string,
    policy: MessageInitShape<typeof SetPolicyRequestSchema>["policy"],
  ): Promise<void> {
    await this.sealing.setPolicy({ collectionName, policy });
  }

  /** Policy, sealing ids and epoch. Compare them with what you pinned; do not pin what a server says unseen. */
  async getPolicy(collectionName: string): Promise<MessageShape<typeof GetPolicyResponseSchema>["state"]> {
    return (await this.sealing.getPolicy({ collectionName })).state;
  }

  async upsert(
    collectionName: string,
    points: readonly Point[],
    options: { readonly wait?: boolean; readonly publicKey?: string; readonly freshEphemeral?: boolean } = {},
  ): Promise<void> {
    const { wait = true, publicKey, freshEphemeral } = options;
    await this.points.upsert({ collectionName, wait, publicKey, freshEphemeral, points: points.map(toPointStruct) });
  }

  async query(collectionName: string, options: QueryOptions): Promise<Hit[]> {
    const { vector, limit = 10, offset, filter, using, hnswEf, scoreThreshold, withPayload = true, signal } = options;
    const nearest =
      typeof vector === "string" || typeof vector === "bigint"
        ? { variant: { case: "id" as const, value: idToMessage(vector) as never } }
        : { variant: { case: "dense" as const, value: { data: Array.from(vector) } } };
    const request = {
      collectionName,
      query: { variant: { case: "nearest" as const, value: nearest } },
      limit: BigInt(limit),
      offset: offset === undefined ? undefined : BigInt(offset),
      filter,
      using,
      scoreThreshold,
      params: hnswEf === undefined ? undefined : { hnswEf: BigInt(hnswEf) },
      withPayload: { selectorOptions: { case: "enable" as const, value: withPayload } },
    };
    const { result } = await this.points.query(request, { signal });
    return result.map((hit) => ({ ...toStored(hit), score: hit.score }));
  }

  /** All matching points of a consistent view, in order of their ids; leaving the loop ends the stream. */
  async *scroll(collectionName: string, options: ScrollOptions = {}): AsyncGenerator<StoredPoint> {
    const { filter, after, limit, pageSize, withPayload = true, signal } = options;
    const call = this.ingest.scroll(
      {
        collectionName,
        filter,
        after: after === undefined ? undefined : (idToMessage(after) as never),
        limit: limit === undefined ? undefined : BigInt(limit),
        pageSize,
        withPayload: { selectorOptions: { case: "enable", value: withPayload } },
      },
      { signal },
    );
    try {
      for await (const page of call as AsyncIterable<{ points: { id?: unknown; payload: object }[] }>) {
        for (const point of page.points) yield toStored(point);
      }
    } finally {
      call.cancel();
    }
  }

  /**
   * Loads an S5 database into a session (`sessionId`) or a collection (`collectionName`) and yields its progress. Leaving the loop cancels the load,
   * unless `detach` is set; a load that fails ends it with the call's error, after the event loadingError.
   */
  s5Load(
    { sessionId, collectionName, ...request }: S5LoadOptions,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<LoadResponse> {
    const target =
      sessionId === undefined
        ? { case: "collectionName" as const, value: collectionName ?? "" }
        : { case: "sessionId" as const, value: sessionId };
    return progressOf(this.s5.load({ ...request, target }, options));
  }

  /** The progress of a load that was begun before: what there was, and what comes. Leaving the loop changes nothing. */
  s5Watch(sessionId: string, options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<LoadResponse> {
    return progressOf(this.s5.watch({ target: { case: "sessionId", value: sessionId } }, options));
  }

  /** See bulk-upsert.ts: resumes after cuts, keeps what is not durable, yields acknowledgements. */
  bulkUpsert(
    collectionName: string,
    chunks: Iterable<readonly Point[]> | AsyncIterable<readonly Point[]>,
    options: BulkUpsertOptions,
  ): AsyncGenerator<BulkUpsertAck> {
    return bulkUpsert(() => this.ingest.bulkUpsert(), collectionName, toChunks(chunks), options);
  }
}

type Progress = ClientReadableStream<{ readonly event: LoadResponse["event"] }>;

async function* progressOf(call: Progress): AsyncGenerator<LoadResponse> {
  try {
    for await (const event of call) yield event as LoadResponse;
  } finally {
    call.cancel();
  }
}

function apiKeyInterceptor(apiKey: string): Interceptor {
  return (options, nextCall) => {
    const call = nextCall(options);
    const start = call.start.bind(call);
    call.start = (metadata = new Metadata(), listener) => {
      metadata.set("api-key", apiKey);
      start(metadata, listener);
    };
    return call as never;
  };
}

async function* toChunks(
  chunks: Iterable<readonly Point[]> | AsyncIterable<readonly Point[]>,
): AsyncGenerator<PointInit[]> {
  for await (const points of chunks) yield points.map(toPointStruct);
}

function toPointStruct({ id, vector, payload = {}, publicKey }: Point): PointInit {
  const struct = {
    id: idToMessage(id),
    payload: payloadToMessage(toPayload(payload)),
    publicKey,
    vectors: toVectors(vector),
  };
  return struct as unknown as PointInit;
}

function toVectors(vector: Point["vector"]): object | undefined {
  if (vector === undefined) return undefined;
  const dense = (data: Vector) => ({ vector: { case: "dense", value: { data: Array.from(data) } } });
  if (Array.isArray(vector) || vector instanceof Float32Array) {
    return { vectorsOptions: { case: "vector", value: dense(vector as Vector) } };
  }
  const vectors = Object.fromEntries(Object.entries(vector).map(([name, data]) => [name, dense(data as Vector)]));
  return { vectorsOptions: { case: "vectors", value: { vectors } } };
}

function toStored(point: { id?: unknown; payload: object }): StoredPoint {
  const id = idFromMessage(point.id);
  if (id === undefined) throw new Error("the server answered with a point without an id");
  return { id, payload: fromPayload(payloadFromMessage(point.payload as { [key: string]: unknown })) };
}
