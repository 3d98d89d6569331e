/** Starts, asks and ends the threads that serve the gRPC port together. */
import { Worker } from "node:worker_threads";
import { reservePort } from "../api/grpc/index.ts";
import type { AttachmentTable, IssueSink, Quota } from "../engine/index.ts";
import { type Logger, type LogLevel, type ServerConfig, type ThreadFigures, ThreadPort } from "../ops/index.ts";
import { type S5Backend, serveS5 } from "../s5/index.ts";
import { type Streams, serveStreams } from "../services/index.ts";
import { serveAttachments } from "./remote-attachments.ts";
import { serveIssues } from "./remote-issues.ts";

export interface RpcWorkerData {
  /** With the port that is served, never 0. */
  readonly config: ServerConfig;
  readonly name: string;
  readonly changes: SharedArrayBuffer;
  /** Of what is attached (AttachmentTable). */
  readonly attached: SharedArrayBuffer;
  /** What the Quota of the main thread shares. */
  readonly quota: SharedArrayBuffer;
}

export interface RpcThreads {
  readonly port: number;
  /** As GrpcServer has it, for all threads. */
  drain(): Promise<boolean>;
  forceClose(): void;
  figures(): Promise<ThreadFigures[]>;
  setLogLevel(level: LogLevel): void;
  /** Ends the threads; for after drain. */
  end(): Promise<void>;
}

export interface RpcThreadsOptions {
  readonly config: ServerConfig;
  readonly log: Logger;
  readonly changes: SharedArrayBuffer;
  readonly s5: S5Backend;
  readonly streams: Streams;
  readonly attachments: AttachmentTable;
  readonly quota: Quota;
  readonly issues: IssueSink;
}

/** Young generation of a thread: bin/sealpoint.mjs gives the whole process 4 MB semi-spaces, three of which make one of these. */
const youngMegabytesMax = 12;

/** Milliseconds that a thread gets to end by itself once all its calls have ended. */
const endMsMax = 10_000;

interface Thread {
  readonly name: string;
  readonly worker: Worker;
  readonly port: ThreadPort;
  readonly ended: Promise<void>;
  /** From now on its end is no fault. */
  ending: boolean;
}

export async function startRpcThreads(options: RpcThreadsOptions): Promise<RpcThreads> {
  const port = await reservePort({ ...options.config, port: options.config.grpcPort });
  const config = { ...options.config, grpcPort: port };
  const threads: Thread[] = [];
  for (let number = 1; number <= config.rpcThreads; number++) {
    threads.push(startThread({ ...options, config }, `rpc-${number}`));
  }
  const askAll = <T>(ask: string): Promise<T[]> => Promise.all(threads.map((thread) => thread.port.call<T>(ask)));
  const end = async (): Promise<void> => {
    await Promise.all(threads.map(endThread));
  };
  try {
    await askAll("ready");
  } catch (error) {
    await end();
    throw error;
  }
  return {
    port,
    drain: async () => (await askAll<boolean>("drain")).every(Boolean),
    forceClose() {
      for (const thread of threads) thread.port.tell("force");
    },
    figures: () => askAll<ThreadFigures>("figures"),
    setLogLevel(level) {
      for (const thread of threads) thread.port.tell("log level", level);
    },
    end,
  };
}

function startThread(options: RpcThreadsOptions, name: string): Thread {
  const { config, log, changes, s5, streams, attachments, quota, issues } = options;
  const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
  const worker = new Worker(new URL(`./rpc-worker${extension}`, import.meta.url), {
    name,
    workerData: { config, name, changes, attached: attachments.changes, quota: quota.shared } satisfies RpcWorkerData,
    // The process's own flags (a test runner's loaders) are not for this thread; V8's are the whole process's anyway.
    execArgv: [],
    env: {},
    resourceLimits: { maxYoungGenerationSizeMb: youngMegabytesMax },
  });
  const port = new ThreadPort(worker);
  serveS5(port, s5);
  serveAttachments(port, attachments);
  serveStreams(port, streams);
  serveIssues(port, issues);
  const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  const thread: Thread = { name, worker, port, ended, ending: false };
  // Half a server would go on answering for a part of its connections only: what ends one thread ends the process, as it would with one thread.
  worker.once("error", (error) => {
    log.fatal({ thread: name }, "a thread failed");
    setImmediate(() => {
      throw error;
    });
  });
  worker.once("exit", () => {
    port.close();
    if (!thread.ending) {
      thread.ending = true;
      setImmediate(() => {
        throw new Error(`the thread ${name} ended`);
      });
    }
  });
  return thread;
}

async function endThread(thread: Thread): Promise<void> {
  if (!thread.ending) {
    thread.ending = true;
    thread.port.tell("end");
  }
  const patience = setTimeout(() => void thread.worker.terminate(), endMsMax);
  await thread.ended;
  clearTimeout(patience);
}
