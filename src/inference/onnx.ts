/** Models on this machine: texts go to threads of their own, which run them with onnxruntime. */
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { badInput, DomainError, limits, type VectorValue } from "../core/index.ts";
import type { OnnxConfig } from "../ops/index.ts";
import type { InferenceContext, InferenceMode, InferenceProvider, PlacedInput } from "./inference.ts";
import type { OnnxAnswer, OnnxJob } from "./onnx-protocol.ts";

/** Installed by who wants local models; the server needs neither for anything else. */
const packages = ["onnxruntime-node", "@huggingface/tokenizers"];

interface Waiting {
  readonly model: string;
  readonly texts: number;
  readonly resolve: (answer: Extract<OnnxAnswer, { values: unknown }>) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
  texts: number;
}

/** Throws precondition where a package is missing: at the start, not at the first text. */
function checkPackages(): void {
  const { resolve } = createRequire(import.meta.url);
  const missing = packages.filter((name) => {
    try {
      resolve(name);
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length === 0) return;
  throw new DomainError(
    "precondition",
    `SEALPOINT_INFERENCE_ONNX_MODELS: needs packages that are not installed: npm install ${missing.join(" ")} (docs/inference.md)`,
  );
}

export class OnnxProvider implements InferenceProvider {
  readonly #config: OnnxConfig;
  readonly #threads: Thread[] = [];
  #count = 0;

  constructor(config: OnnxConfig) {
    checkPackages();
    this.#config = config;
  }

  has(model: string): boolean {
    return Object.hasOwn(this.#config.models, model);
  }

  /** All of models that it has. */
  async embed(
    inputs: readonly PlacedInput[],
    mode: InferenceMode,
    { signal }: InferenceContext,
  ): ReturnType<InferenceProvider["embed"]> {
    const vectors = new Array<VectorValue>(inputs.length);
    const usage = new Map<string, number>();
    const pieces = piecesOf(inputs);
    await Promise.all(
      pieces.map(async ({ model, texts, places }) => {
        signal?.throwIfAborted();
        const { values, dimensions, tokens } = await this.#run(model, texts, mode);
        places.forEach((of, i) => {
          const vector = values.subarray(i * dimensions, (i + 1) * dimensions);
          for (const place of of) vectors[place] = vector;
        });
        usage.set(model, (usage.get(model) ?? 0) + tokens);
      }),
    );
    return { vectors, usage };
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map(({ worker }) => worker.terminate()));
  }

  #run(
    model: string,
    texts: readonly string[],
    mode: InferenceMode,
  ): Promise<Extract<OnnxAnswer, { values: unknown }>> {
    const thread = this.#thread();
    const waiting = this.#threads.reduce((sum, one) => sum + one.texts, 0);
    if (waiting + texts.length > limits.onnxTextsWaitingMax) {
      throw new DomainError("rate_limited", "too many texts wait for the models of this machine", {
        details: { retryAfterSeconds: 1 },
      });
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      thread.waiting.set(id, { model, texts: texts.length, resolve, reject });
      thread.texts += texts.length;
      const place = this.#config.models[model] as OnnxJob["model"];
      const { tokensMax, batchSize } = this.#config;
      thread.worker.postMessage({ id, model: { ...place, tokensMax }, texts, batchSize, mode } satisfies OnnxJob);
    });
  }

  /** The one with least to do; a further one while all are busy and there may be more. */
  #thread(): Thread {
    const [least] = this.#threads.toSorted((a, b) => a.texts - b.texts);
    if (least !== undefined && (least.texts === 0 || this.#threads.length >= this.#config.threads)) return least;
    const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
    const worker = new Worker(new URL(`./onnx-worker${extension}`, import.meta.url), {
      name: "sealpoint-onnx",
      execArgv: [],
      env: {},
    });
    worker.unref();
    const thread: Thread = { worker, waiting: new Map(), texts: 0 };
    worker.on("message", (answer: OnnxAnswer) => settle(thread, answer));
    worker.on("error", () => this.#lost(thread));
    worker.on("exit", () => this.#lost(thread));
    this.#threads.push(thread);
    return thread;
  }

  /** What the thread held is refused; the next text starts another one. */
  #lost(thread: Thread): void {
    const place = this.#threads.indexOf(thread);
    if (place >= 0) this.#threads.splice(place, 1);
    for (const { reject } of thread.waiting.values()) {
      reject(new DomainError("unavailable", "the thread of the local models has ended"));
    }
    thread.waiting.clear();
    thread.texts = 0;
  }
}

function settle(thread: Thread, answer: OnnxAnswer): void {
  const waiting = thread.waiting.get(answer.id);
  if (waiting === undefined) return;
  thread.waiting.delete(answer.id);
  thread.texts -= waiting.texts;
  if ("values" in answer) {
    waiting.resolve(answer);
    return;
  }
  const model = JSON.stringify(waiting.model.slice(0, 200));
  const what = answer.failed === "load" ? `the model ${model} cannot be loaded` : `the model ${model} failed`;
  waiting.reject(new DomainError("unavailable", `${what}: ${answer.reason.slice(0, 500)}`, { retryable: false }));
}

interface Piece {
  readonly model: string;
  readonly texts: string[];
  /** Of the inputs, by text. */
  readonly places: number[][];
}

/** Equal texts of a model once, in pieces that threads share. */
function piecesOf(inputs: readonly PlacedInput[]): Piece[] {
  const pieces: Piece[] = [];
  const open = new Map<string, { piece: Piece; readonly known: Map<string, number[]> }>();
  inputs.forEach(({ input: { kind, value, model }, field }, place) => {
    if (kind !== "document" || typeof value !== "string") {
      throw badInput(
        `Wrong input: the model ${JSON.stringify(model.slice(0, 200))} makes vectors of texts only`,
        field,
      );
    }
    let group = open.get(model);
    const known = group?.known.get(value);
    if (known !== undefined) {
      known.push(place);
      return;
    }
    if (group === undefined || group.piece.texts.length >= limits.onnxPieceTexts) {
      const piece: Piece = { model, texts: [], places: [] };
      pieces.push(piece);
      group = { piece, known: group?.known ?? new Map() };
      open.set(model, group);
    }
    const places = [place];
    group.known.set(value, places);
    group.piece.texts.push(value);
    group.piece.places.push(places);
  });
  return pieces;
}
