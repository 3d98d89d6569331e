/** Reads large REST bodies beside the event loop: JSON in, the bytes of the RPC's message out. */
import { parentPort } from "node:worker_threads";
import { DomainError } from "../../core/index.ts";
import { encodeRestRequest } from "../../wire/index.ts";
import type { BodyAnswer, BodyJob } from "./bodies.ts";

if (parentPort === null) throw new Error("body-worker.ts runs in a worker thread only");
const port = parentPort;

port.on("message", ({ id, name, params, body }: BodyJob) => {
  let answer: BodyAnswer;
  const transfer: ArrayBuffer[] = [];
  try {
    const { bytes, payload } = encodeRestRequest(name, params, Buffer.from(body).toString("utf8"));
    transfer.push(bytes.buffer as ArrayBuffer);
    answer = { id, bytes, payload };
  } catch (error) {
    const known = error instanceof DomainError;
    answer = {
      id,
      failure: known
        ? { kind: error.kind, message: error.message, details: error.details }
        : { kind: "internal", message: String(error instanceof Error ? error.stack : error), details: {} },
    };
  }
  port.postMessage(answer, transfer);
});
