/**
 * Worker threads that decrypt and parse, shared by all loads of the process. They start when first needed and end when idle, so a
 * server that never loads pays nothing, and what an idle thread's heap still held of a database goes with it.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { LoadError } from "./errors.ts";
import { openFile } from "./open-file.ts";
import type { OpenAnswer, OpenRequest, OpenTask } from "./opener-protocol.ts";

/** A parsed chunk of the largest size, read the usual way, takes about ten times its text. */
/** A young generation of V8's own choice would keep some 50 MB of each thread resident. */
const youngMegabytes = 12;
const heapMegabytesMax = 1_024;
const idleMs = 1_000;
/** A manifest up to this is decrypted and parsed within a millisecond or two. */
const openHereBytesMax = 256 * 1024;

/** The worker's file beside this one: .ts when run from the sources by type stripping, .js when compiled. */
export function workerUrl(name: string): URL {
  return new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}

interface Job {
  readonly request: OpenRequest;
  readonly resolve: (answer: OpenAnswer) => void;
  readonly reject: (error: LoadError) => void;
}

interface Thread {
  readonly worker: Worker;
  job: Job | undefined;
  idleTimer: NodeJS.Timeout | undefined;
}

export class Opener {
  private readonly size: number;
  private readonly threads = new Set<Thread>();
  private readonly waiting: Job[] = [];
  private nextNumber = 1;

  constructor(size = Math.max(1, Math.min(4, availableParallelism()))) {
    this.size = size;
  }

  /** A thread takes a while to start: one is made ready while its first file is still on its way. */
  warm(): void {
    if (this.threads.size === 0) this.rest(this.start());
  }

  /** `task.encrypted` is transferred: the caller's view of it is empty afterwards. */
  async open(task: OpenTask, key: SharedArrayBuffer): Promise<OpenAnswer> {
    // A thread would only be waited for.
    if (task.kind === "manifest" && task.encrypted.length <= openHereBytesMax)
      return openFile({ number: 0, key, task }).answer;
    return new Promise((resolve, reject) => {
      this.waiting.push({ request: { number: this.nextNumber++, key, task }, resolve, reject });
      this.dispatch();
    });
  }

  /** Ends all threads; what is in flight fails. For shutdown and tests. */
  async close(): Promise<void> {
    await Promise.all([...this.threads].map((thread) => thread.worker.terminate()));
  }

  private dispatch(): void {
    while (this.waiting.length > 0) {
      let thread = [...this.threads].find((candidate) => candidate.job === undefined);
      if (thread === undefined) {
        if (this.threads.size >= this.size) return;
        thread = this.start();
      }
      const job = this.waiting.shift() as Job;
      clearTimeout(thread.idleTimer);
      thread.job = job;
      thread.worker.ref();
      thread.worker.postMessage(job.request, [job.request.task.encrypted.buffer as ArrayBuffer]);
    }
  }

  /** It ends when nothing comes for a while. */
  private rest(thread: Thread): void {
    const { worker } = thread;
    worker.unref();
    thread.idleTimer = setTimeout(() => {
      // Out of the set first, so that no job is given to a thread that is ending.
      this.threads.delete(thread);
      void worker.terminate();
    }, idleMs).unref();
  }

  private start(): Thread {
    const worker = new Worker(workerUrl("opener-worker"), {
      // The process's own flags (a test runner's loaders, heap sizes) are not for this thread.
      execArgv: [],
      env: {},
      name: "sealpoint-s5-opener",
      resourceLimits: { maxOldGenerationSizeMb: heapMegabytesMax, maxYoungGenerationSizeMb: youngMegabytes },
    });
    const thread: Thread = { worker, job: undefined, idleTimer: undefined };
    worker.on("message", (answer: OpenAnswer) => {
      const job = thread.job;
      thread.job = undefined;
      this.rest(thread);
      job?.resolve(answer);
      this.dispatch();
    });
    const drop = (error: LoadError): void => {
      clearTimeout(thread.idleTimer);
      this.threads.delete(thread);
      const job = thread.job;
      thread.job = undefined;
      job?.reject(error);
      this.dispatch();
    };
    worker.on("error", (error: NodeJS.ErrnoException) =>
      drop(
        error.code === "ERR_WORKER_OUT_OF_MEMORY"
          ? new LoadError("MEMORY_LIMIT_EXCEEDED", "the file needs too much memory to be read")
          : new LoadError("INDEX_BUILD_FAILED", "the reading thread failed", { cause: error }),
      ),
    );
    worker.on("exit", () => drop(new LoadError("INDEX_BUILD_FAILED", "the reading thread ended")));
    this.threads.add(thread);
    return thread;
  }
}

/** The process's own pool. */
export const sharedOpener = new Opener();
