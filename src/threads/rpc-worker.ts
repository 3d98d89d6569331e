/**
 * One of several threads that serve the gRPC port. What only the process as a whole can know (S5 sessions, who holds a stream, how many are
 * open) it asks the main thread for; the data is the one native engine's, which every thread calls directly.
 */
import { parentPort, workerData } from "node:worker_threads";
import { startGrpcServer } from "../api/grpc/index.ts";
import { Quota } from "../engine/index.ts";
import { createAuthenticator, createLog, FigureBook, type LogLevel, ThreadPort } from "../ops/index.ts";
import { RemoteS5 } from "../s5/index.ts";
import { RemoteStreams } from "../services/index.ts";
import { openDatabase } from "./database.ts";
import { RemoteAttachments } from "./remote-attachments.ts";
import { RemoteIssues } from "./remote-issues.ts";
import type { RpcWorkerData } from "./rpc-threads.ts";

if (parentPort === null) throw new Error("rpc-worker.ts runs in a worker thread only");
const own = parentPort;
const { config, name, changes, attached, quota } = workerData as RpcWorkerData;
const main = new ThreadPort(own);
const log = createLog(config.logLevel).child({ thread: name });
const figures = new FigureBook(name);
const database = openDatabase(
  config,
  changes,
  new RemoteAttachments(main, attached),
  new Quota(config.dataDir, quota),
  new RemoteIssues(main),
);
const server = startGrpcServer({
  host: config.host,
  port: config.grpcPort,
  sharesPort: true,
  authenticator: createAuthenticator(config),
  tls: config.tls,
  log,
  metrics: figures,
  ...database.serve({ s5: new RemoteS5(main), streams: new RemoteStreams(main) }),
});
// A failure to listen is this answer's, not an unhandled one.
server.catch(() => undefined);

main.on("ready", async () => {
  await server;
});
main.on("figures", () => figures.read());
main.on("log level", (level: LogLevel) => {
  log.level = level;
});
main.on("drain", async () => (await server).drain());
main.on("force", async () => (await server).forceClose());
// The thread then ends by itself, after the last native call that its loop waits for: its memory may be such a call's message.
main.on("end", async () => {
  figures.close();
  await database.embedded.close();
  main.close();
  own.close();
});
