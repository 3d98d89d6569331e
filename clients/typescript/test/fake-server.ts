/** A grpc-js server that keeps points as they come, so that tests see what went over the wire. */
import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  type PointStruct,
  PointsOperationResponseSchema,
  QueryResponseSchema,
  type UpsertPoints,
} from "../gen/qdrant/points_pb.js";
import { Points } from "../gen/qdrant/points_service_pb.js";
import {
  type BulkUpsertRequest,
  BulkUpsertResponseSchema,
  Ingest,
  ScrollResponseSchema,
} from "../gen/sealpoint/v1/ingest_pb.js";

const idOf = (point: PointStruct) => String(point.id?.pointIdOptions.value);

export class FakeServer {
  readonly stored = new Map<string, PointStruct>();
  readonly applied: bigint[] = [];
  lastApplied = 0n;
  connections = 0;
  /** Cut the first connections after so many chunks, the last of them unacknowledged. */
  cutAfter: number[] = [];
  address = "";
  private readonly server = new grpc.Server();

  async start(): Promise<void> {
    this.server.addService(
      {
        upsert: definition(Points, "upsert"),
        query: definition(Points, "query"),
        setPayload: definition(Points, "setPayload"),
      },
      {
        upsert: (call: grpc.ServerUnaryCall<UpsertPoints, unknown>, reply: grpc.sendUnaryData<unknown>) => {
          for (const point of call.request.points) this.stored.set(idOf(point), point);
          reply(null, create(PointsOperationResponseSchema, {}));
        },
        setPayload: (_call: unknown, reply: grpc.sendUnaryData<unknown>) =>
          reply(null, create(PointsOperationResponseSchema, {})),
        query: (_call: unknown, reply: grpc.sendUnaryData<unknown>) => {
          const result = [...this.stored.values()].map(({ id, payload }) => ({ id, payload, score: 1 }));
          reply(null, create(QueryResponseSchema, { result }));
        },
      } as never,
    );
    this.server.addService({ bulkUpsert: definition(Ingest, "bulkUpsert"), scroll: definition(Ingest, "scroll") }, {
      bulkUpsert: (call: grpc.ServerDuplexStream<BulkUpsertRequest, unknown>) => this.bulkUpsert(call),
      scroll: (call: grpc.ServerWritableStream<unknown, unknown>) => {
        for (const { id, payload } of this.stored.values())
          call.write(create(ScrollResponseSchema, { points: [{ id, payload }] }));
        call.end();
      },
    } as never);
    const port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    this.address = `127.0.0.1:${port}`;
  }

  private bulkUpsert(call: grpc.ServerDuplexStream<BulkUpsertRequest, unknown>): void {
    const cut = this.cutAfter[this.connections++];
    let chunks = 0;
    call.on("data", ({ message }: BulkUpsertRequest) => {
      if (message.case === "start") {
        const started = { lastAppliedSequence: this.lastApplied };
        call.write(create(BulkUpsertResponseSchema, { message: { case: "started", value: started } }));
        return;
      }
      if (message.case !== "chunk") return;
      const { sequence, points } = message.value;
      chunks++;
      if (cut !== undefined && chunks > cut) {
        call.emit("error", { code: grpc.status.UNAVAILABLE, details: "cut" });
        return;
      }
      const fresh = sequence === this.lastApplied + 1n;
      if (!fresh && sequence > this.lastApplied) {
        call.emit("error", { code: grpc.status.INVALID_ARGUMENT, details: "gap" });
        return;
      }
      if (fresh) {
        for (const point of points) this.stored.set(idOf(point), point);
        this.lastApplied = sequence;
        this.applied.push(sequence);
      }
      // The last chunk before a cut is applied and never acknowledged.
      if (cut !== undefined && chunks === cut) return;
      const ack = { sequence, durableSequence: sequence, applied: fresh, pointsApplied: points.length };
      call.write(create(BulkUpsertResponseSchema, { message: { case: "ack", value: ack } }));
    });
    call.on("end", () => call.end());
    call.on("error", () => {});
  }

  stop(): void {
    this.server.forceShutdown();
  }
}

function definition(service: typeof Points | typeof Ingest, name: string): grpc.MethodDefinition<unknown, unknown> {
  const method = service.methods.find((each) => each.localName === name) as DescMethod;
  return {
    path: `/${service.typeName}/${method.name}`,
    requestStream: method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming",
    responseStream: method.methodKind === "bidi_streaming" || method.methodKind === "server_streaming",
    requestSerialize: (message) => Buffer.from(toBinary(method.input, message as never)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(method.output, message as never)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}
