/**
 * Opens files off the event loop, for all loads of the process: chunks of the usual form on native threads, a few at a time, and the rest (great manifests, chunks that
 * are written in an unusual way, and those with a fault, which must be named) in worker threads. Workers start when first needed and end when idle, so a
 * server that needs none pays nothing, and what an idle thread's heap still held of a database goes with it.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { LoadError } from "./errors.ts";
import { openChunkNatively } from "./native-chunk.ts";
import { openFile } from "./open-file.ts";
import type { OpenAnswer, OpenChunkTask, Opened, OpenRequest, OpenTask } from "./opener-protocol.ts";

/** A young generation of V8's own choice would keep some 50 MB of each thread resident. */
const youngMegabytes = 12;
/** A parsed chunk of the largest size, read the usual way, takes about ten times its text. */
const heapMegabytesMax = 1_024;
const idleMs = 1_000;
/** A manifest up to this is decrypted and parsed within a millisecond or two. */
const openHereBytesMax = 256 * 1024;
/** Of the four threads that Node's pool has. */
const nativelyMax = 3;

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
  /** Chunks on native threads. */
  private natively = 0;
  private readonly turns: (() => void)[] = [];

  constructor(size = Math.max(1, Math.min(4, availableParallelism()))) {
    this.size = size;
  }

  /**
   * `task.encrypted` is taken: a worker thread has it transferred; a native thread decrypts it where it lies, and gives it back once it is read. The caller looks at it no more: the view
   * is empty afterwards, save of a small manifest, which is opened here.
   */
  async open(task: OpenTask, key: SharedArrayBuffer): Promise<Opened> {
    if (task.kind === "chunk") {
      const opened = await this.openNatively(task, key);
      if (opened === undefined) return this.openInThread(task, key);
      return "unusual" in opened ? this.openInThread({ ...task, opened: opened.unusual }, key) : opened;
    }
    // A thread would only be waited for.
    if (task.encrypted.length <= openHereBytesMax) return openFile({ number: 0, key, task }).answer;
    return this.openInThread(task, key);
  }

  /** So many at a time that other work of Node's pool (files, names) always finds a thread. */
  private async openNatively(task: OpenChunkTask, key: SharedArrayBuffer): ReturnType<typeof openChunkNatively> {
    if (this.natively >= Math.min(this.size, nativelyMax)) await new Promise<void>((go) => this.turns.push(go));
    else this.natively++;
    try {
      return await openChunkNatively(task, key);
    } catch (error) {
      throw new LoadError("INDEX_BUILD_FAILED", "the chunk cannot be read", { cause: error });
    } finally {
      // The place goes on to who waits for it.
      const next = this.turns.shift();
      if (next === undefined) this.natively--;
      else next();
    }
  }

  private openInThread(task: OpenTask, key: SharedArrayBuffer): Promise<OpenAnswer> {
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
