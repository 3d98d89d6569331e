/** sealpoint.v1.S5. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type LoadResponseSchema, S5 } from "../../../../gen/sealpoint/v1/s5_pb.js";
import type { S5LoadEvent, S5Service } from "../../../services/index.ts";
import { bindService, type ServiceBinding, serverStream, unary, unimplemented } from "../call.ts";
import { publicKeyOf } from "./common.ts";

function toResponse(event: S5LoadEvent): MessageInitShape<typeof LoadResponseSchema> {
  switch (event.kind) {
    case "manifest_downloaded": {
      const { name, chunks, vectors, dimensions } = event;
      return { event: { case: "manifestDownloaded", value: { name, chunks, vectors: BigInt(vectors), dimensions } } };
    }
    case "chunk_downloaded": {
      const { chunkId, total, percent } = event;
      return { event: { case: "chunkDownloaded", value: { chunkId, total, percent } } };
    }
    case "index_building":
      return { event: { case: "indexBuilding", value: {} } };
    case "loading_complete": {
      const value = { vectorCount: BigInt(event.vectorCount), loadTimeMs: BigInt(Math.round(event.loadTimeMs)) };
      return { event: { case: "loadingComplete", value } };
    }
    case "loading_error": {
      const { code, message, isRetryable, isSecurity } = event;
      return { event: { case: "loadingError", value: { code, message, isRetryable, isSecurity } } };
    }
  }
}

export function bindS5(s5: S5Service | undefined): ServiceBinding {
  if (s5 === undefined) {
    const off = unimplemented("needs an S5 portal: none is configured");
    const names = ["load", "watch", "status", "search", "upload", "refresh", "list", "cancel", "close"] as const;
    return bindService(
      S5,
      Object.fromEntries(names.map((name) => [name, off])) as Record<(typeof names)[number], typeof off>,
    );
  }
  const later = unimplemented("arrives with the next change");
  return bindService(S5, {
    load: serverStream(async function* (message, call) {
      const { manifestPath, userAddress, target } = message;
      const request = {
        manifestPath,
        userAddress,
        // A copy of its own, that the service wipes: the message may share memory with the transport.
        sessionKey: Uint8Array.from(message.sessionKey),
        publicKey: publicKeyOf(call, undefined),
        target:
          target.case === "sessionId"
            ? ({ kind: "session", sessionId: target.value } as const)
            : target.case === "collectionName"
              ? ({ kind: "collection", name: target.value } as const)
              : undefined,
      };
      message.sessionKey.fill(0);
      for await (const event of s5.load(request, call.signal)) yield toResponse(event);
    }),
    watch: later,
    status: later,
    upload: later,
    refresh: later,
    list: later,
    cancel: later,
    search: unary(async ({ sessionId, vector, k, threshold }) => ({
      hits: await s5.search(sessionId, Float32Array.from(vector), k, threshold),
    })),
    close: unary(async ({ sessionId }) => ({ closed: await s5.close(sessionId) })),
  });
}
