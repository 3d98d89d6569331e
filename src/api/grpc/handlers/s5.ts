/** sealpoint.v1.S5. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type LoadResponseSchema,
  S5,
  SessionSource,
  type StatusResponseSchema,
} from "../../../../gen/sealpoint/v1/s5_pb.js";
import type { LoadStatus, LoadTarget } from "../../../s5/index.ts";
import { TimeSlices } from "../../../seal/index.ts";
import type { S5LoadEvent, S5Service } from "../../../services/index.ts";
import { decodeS5Search, encodeS5SearchResponse } from "../../../wire/index.ts";
import { bindService, rawUnary, type ServiceBinding, serverStream, unary, unimplemented } from "../call.ts";
import { publicKeyOf } from "./common.ts";

/** Load's, Watch's and Refresh's answers have the same fields. */
function toResponse(event: S5LoadEvent): Omit<MessageInitShape<typeof LoadResponseSchema>, "$typeName"> {
  switch (event.kind) {
    case "manifest_downloaded": {
      const { name, chunks, vectors, dimensions, sizeBytes, updated } = event;
      const value = {
        name,
        chunks,
        vectors: BigInt(vectors),
        dimensions,
        sizeBytes: BigInt(sizeBytes),
        updated: BigInt(updated),
      };
      return { event: { case: "manifestDownloaded", value } };
    }
    case "chunk_downloaded": {
      const { chunkId, total, percent, vectorsLoaded } = event;
      return {
        event: {
          case: "chunkDownloaded",
          value: { chunkId, total, percent, vectorsLoaded: BigInt(vectorsLoaded) },
        },
      };
    }
    case "index_building":
      return { event: { case: "indexBuilding", value: {} } };
    case "loading_complete": {
      const { vectorCount, loadTimeMs, fromCache, chunksDownloaded } = event;
      const value = { vectorCount: BigInt(vectorCount), loadTimeMs: BigInt(loadTimeMs), fromCache, chunksDownloaded };
      return { event: { case: "loadingComplete", value } };
    }
    case "index_ready":
      return { event: { case: "indexReady", value: { buildTimeMs: BigInt(event.buildTimeMs) } } };
    case "loading_error": {
      const { code, message, isRetryable, isSecurity } = event;
      return { event: { case: "loadingError", value: { code, message, isRetryable, isSecurity } } };
    }
  }
}

function toStatus(status: LoadStatus): MessageInitShape<typeof StatusResponseSchema> {
  switch (status.kind) {
    case "not_started":
      return { status: { case: "notStarted", value: {} } };
    case "loading": {
      const { percent, vectorsLoaded, vectorCount } = status;
      const value = { percent, vectorsLoaded: BigInt(vectorsLoaded), vectorCount: BigInt(vectorCount) };
      return { status: { case: "loading", value } };
    }
    case "loaded": {
      const { vectorCount, loadTimeMs, indexReady, memoryBytes } = status;
      const value = {
        vectorCount: BigInt(vectorCount),
        loadTimeMs: BigInt(loadTimeMs),
        indexReady,
        memoryBytes: BigInt(memoryBytes),
      };
      return { status: { case: "loaded", value } };
    }
    case "error": {
      const { code, message, isRetryable, isSecurity } = status;
      return { status: { case: "error", value: { code, message, isRetryable, isSecurity } } };
    }
  }
}

type TargetMessage =
  | { readonly case: "sessionId"; readonly value: string }
  | { readonly case: "collectionName"; readonly value: string }
  | { readonly case: undefined };

function toTarget(target: TargetMessage): LoadTarget | undefined {
  if (target.case === "sessionId") return { kind: "session", sessionId: target.value };
  return target.case === "collectionName" ? { kind: "collection", name: target.value } : undefined;
}

export function bindS5(s5: S5Service | undefined): ServiceBinding {
  if (s5 === undefined) {
    const off = unimplemented("needs an S5 portal: none is configured");
    const names = Object.keys(S5.method) as (keyof typeof S5.method)[];
    return bindService(
      S5,
      Object.fromEntries(names.map((name) => [name, off])) as Record<(typeof names)[number], typeof off>,
    );
  }
  return bindService(S5, {
    load: serverStream(async function* (message, call) {
      const {
        manifestPath,
        userAddress,
        target,
        detach,
        strictAddress,
        parallelChunks,
        revalidate,
        attachAs,
        persist,
        notBefore,
      } = message;
      const request = {
        manifestPath,
        userAddress,
        // A copy of its own, that the service wipes: the message may share memory with the transport.
        sessionKey: Uint8Array.from(message.sessionKey),
        publicKey: publicKeyOf(call, undefined),
        target: toTarget(target),
        detach,
        strictAddress,
        parallelChunks,
        revalidate,
        attachAs,
        persist,
        // Later than any that a manifest can name is refused below all the same.
        notBefore: Number(notBefore),
      };
      message.sessionKey.fill(0);
      for await (const event of s5.load(request, call.signal)) yield toResponse(event);
    }),
    watch: serverStream(async function* ({ target }, call) {
      for await (const event of s5.watch(toTarget(target), call.signal)) yield toResponse(event);
    }),
    refresh: serverStream(async function* ({ sessionId }, call) {
      for await (const event of s5.refresh(sessionId, call.signal)) yield toResponse(event);
    }),
    status: unary(async ({ target }) => toStatus(await s5.status(toTarget(target)))),
    search: rawUnary(async (bytes, call) => {
      const { sessionId, ...query } = decodeS5Search(bytes);
      return encodeS5SearchResponse(await s5.search(sessionId, query, call), new TimeSlices());
    }),
    upload: unary(async ({ sessionId, vectors, replace }) => {
      const uploaded = vectors.map(({ id, vector, metadata }) => ({ id, vector: Float32Array.from(vector), metadata }));
      return { vectorCount: BigInt(await s5.upload(sessionId, uploaded, replace)) };
    }),
    list: unary(async () => {
      const { sessions, collections } = await s5.list();
      return {
        sessions: sessions.map(({ source, status, createdAtMs, lastUsedAtMs, ...rest }) => ({
          ...rest,
          source: source === "load" ? SessionSource.LOAD : SessionSource.UPLOAD,
          status: toStatus(status),
          createdAt: BigInt(createdAtMs),
          lastUsedAt: BigInt(lastUsedAtMs),
        })),
        collections: collections.map(({ name, manifestPath, status }) => ({
          collectionName: name,
          manifestPath,
          status: toStatus(status),
        })),
      };
    }),
    cancel: unary(async ({ target }) => ({ cancelled: await s5.cancel(toTarget(target)) })),
    close: unary(async ({ sessionId }) => ({ closed: await s5.close(sessionId) })),
    health: unary(async () => {
      const portals = await s5.health();
      return {
        reachable: portals.some(({ reachable }) => reachable),
        portals: portals.map(({ checkedAtMs, ...rest }) => ({ ...rest, checkedAt: BigInt(checkedAtMs) })),
      };
    }),
  });
}
