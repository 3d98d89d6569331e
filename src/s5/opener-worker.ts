/** A thread that opens files, one after the other. */
import { parentPort } from "node:worker_threads";
import { openFile } from "./open-file.ts";
import type { OpenRequest } from "./opener-protocol.ts";

parentPort?.on("message", (request: OpenRequest) => {
  const { answer, transfer } = openFile(request);
  parentPort?.postMessage(answer, transfer);
});
