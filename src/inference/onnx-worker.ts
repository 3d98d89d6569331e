/** Runs local models beside the event loop. Each model is loaded when it is first asked for. */
import { parentPort } from "node:worker_threads";
import { OnnxModel, type OnnxModelPlace } from "./onnx-model.ts";
import type { OnnxAnswer, OnnxJob } from "./onnx-protocol.ts";

if (parentPort === null) throw new Error("onnx-worker.ts runs in a worker thread only");
const port = parentPort;

const models = new Map<string, Promise<OnnxModel>>();

function modelOf(place: OnnxModelPlace): Promise<OnnxModel> {
  const known = models.get(place.modelFile);
  if (known !== undefined) return known;
  const loading = OnnxModel.load(place);
  models.set(place.modelFile, loading);
  // What failed may be mended before it is asked for again.
  loading.catch(() => models.delete(place.modelFile));
  return loading;
}

async function run({ id, model: place, texts, batchSize, mode }: OnnxJob): Promise<OnnxAnswer> {
  let failed: "load" | "run" = "load";
  try {
    const model = await modelOf(place);
    failed = "run";
    let values = new Float32Array(0);
    let dimensions = 0;
    let tokens = 0;
    for (let from = 0; from < texts.length; from += batchSize) {
      const made = await model.embed(texts.slice(from, from + batchSize), mode);
      if (from === 0) {
        dimensions = made.dimensions;
        values = new Float32Array(texts.length * dimensions);
      }
      values.set(made.values, from * dimensions);
      tokens += made.tokens;
    }
    return { id, values, dimensions, tokens };
  } catch (error) {
    return { id, failed, reason: error instanceof Error ? error.message : String(error) };
  }
}

// One after the other: a job's runs hold the thread anyway.
let last: Promise<unknown> = Promise.resolve();
port.on("message", (job: OnnxJob) => {
  last = last.then(async () => {
    const answer = await run(job);
    port.postMessage(answer, "values" in answer ? [answer.values.buffer as ArrayBuffer] : []);
  });
});
