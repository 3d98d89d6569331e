/** Requests in which inputs of models (documents, images, objects) stand for vectors: the models are asked, and vectors take their places. */
import {
  badInput,
  type ContextPair,
  DomainError,
  type GivenVector,
  type InferenceInput,
  limits,
  type Prefetch,
  type Query,
  type VectorInput,
  type VectorValue,
} from "../core/index.ts";
import type { PointInput, PointVectors, WriteOperation } from "../engine/index.ts";
import type { Inference, InferenceContext, InferenceUsage, PlacedInput } from "../inference/index.ts";
import { TimeSlices } from "../seal/index.ts";
import { faultyPoint } from "./faults.ts";

type WithGiven<T extends { readonly vectors: PointVectors }> = Omit<T, "vectors"> & {
  readonly vectors: readonly (readonly [name: string, vector: PointVectors[number][1] | GivenVector])[];
};
type Of<K extends WriteOperation["kind"]> = Extract<WriteOperation, { kind: K }>;
type WithGivenPoints<T extends { readonly points: readonly { readonly vectors: PointVectors }[] }> = Omit<
  T,
  "points"
> & {
  readonly points: readonly WithGiven<T["points"][number]>[];
};

/** A point whose vectors may be for a model to make. */
export type GivenPoint = WithGiven<PointInput>;
/** A write of such points, or any other. */
export type GivenWrite =
  | Exclude<WriteOperation, Of<"upsert"> | Of<"update_vectors">>
  | WithGivenPoints<Of<"upsert">>
  | WithGivenPoints<Of<"update_vectors">>;

export interface Resolved<T> {
  readonly value: T;
  readonly usage?: InferenceUsage | undefined;
}

/** What models make of a text goes to the disk in clear and tells its words. */
export function modelsSeeText(field: string): DomainError {
  return new DomainError(
    "precondition",
    `EncryptionRequired: ${field}: vectors that the server makes of a text tell its words, which the collection's sealing policy forbids; ` +
      "make them where the payload is sealed",
    { details: { reason: "EncryptionRequired", field } },
  );
}

interface Input {
  readonly inference: InferenceInput;
}

function isInput(vector: unknown): vector is Input {
  return typeof vector === "object" && vector !== null && "inference" in vector;
}

/** Whether a point waits for a model. */
export function needsModel({ vectors }: Pick<GivenPoint, "vectors">): boolean {
  for (const [, vector] of vectors) if (!(vector instanceof Float32Array) && "inference" in vector) return true;
  return false;
}

/** Whether a write has to be resolved before the engine may have it. */
export function holdsInputs(operation: GivenWrite): boolean {
  return (operation.kind === "upsert" || operation.kind === "update_vectors") && operation.points.some(needsModel);
}

/** The write with vectors for all inputs; one request to the models for all of them. */
export async function resolveWrite(
  inference: Inference,
  operation: GivenWrite,
  context: InferenceContext,
  field = "points",
): Promise<Resolved<WriteOperation>> {
  if (!holdsInputs(operation)) return { value: operation as WriteOperation };
  const { points } = operation as Of<"upsert">;
  const inputs: PlacedInput[] = [];
  points.forEach((point, index) => {
    for (const [name, vector] of (point as GivenPoint).vectors) {
      if (!isInput(vector)) continue;
      inputs.push({ input: vector.inference, field: `${field}[${index}].vectors${name === "" ? "" : `.${name}`}` });
    }
  });
  if (inputs.length > limits.inferenceInputsMax) {
    throw badInput(`${field}: more than ${limits.inferenceInputsMax} inputs of models in one request`, field);
  }
  const vectors: VectorValue[] = [];
  const usage = new Map<string, number>();
  for (let from = 0; from < inputs.length; from += limits.inferenceSlice) {
    const made = await inference.embed(inputs.slice(from, from + limits.inferenceSlice), "update", context);
    for (const vector of made.vectors) vectors.push(vector);
    for (const [model, tokens] of made.usage ?? []) usage.set(model, (usage.get(model) ?? 0) + tokens);
  }
  const made = vectors.values();
  const slices = new TimeSlices();
  const resolved: unknown[] = [];
  for (const point of points) {
    if (slices.due()) await slices.yield();
    if (!needsModel(point as GivenPoint)) resolved.push(point);
    else {
      const own = point.vectors.map(([name, vector]) => [name, isInput(vector) ? made.next().value : vector] as const);
      resolved.push({ ...point, vectors: own });
    }
  }
  return { value: { ...operation, points: resolved } as WriteOperation, usage: usage.size === 0 ? undefined : usage };
}

/** The points with the vectors that models make, without those for which none can; and what is wrong with these, by place. */
export async function makeVectors(
  inference: Inference,
  given: readonly GivenPoint[],
  refuses: boolean,
  refusalsMax: number,
): Promise<{ readonly points: readonly PointInput[]; readonly errors: ReadonlyMap<number, DomainError> }> {
  const errors = new Map<number, DomainError>();
  let left = given.map((point, at) => ({ point, at }));
  if (refuses) {
    for (const { point, at } of left) if (needsModel(point)) errors.set(at, modelsSeeText(`points[${at}]`));
    left = left.filter(({ at }) => !errors.has(at));
  }
  for (let refusals = 0; ; refusals++) {
    try {
      const { value } = await resolveWrite(inference, { kind: "upsert", points: left.map(({ point }) => point) }, {});
      return { points: (value as Of<"upsert">).points, errors };
    } catch (error) {
      const place = error instanceof DomainError ? faultyPoint(error) : undefined;
      const found = place === undefined ? undefined : left[place];
      if (found === undefined || refusals >= refusalsMax) throw error;
      errors.set(found.at, error as DomainError);
      left = left.filter((one) => one !== found);
    }
  }
}

/** Calls `visit` for each input of the query, in one order. */
export function forEachInput(query: Query, visit: (input: VectorInput, place: string) => void): void {
  const pairs = (context: readonly ContextPair[], place: string): void =>
    context.forEach(({ positive, negative }, i) => {
      visit(positive, `${place}[${i}].positive`);
      visit(negative, `${place}[${i}].negative`);
    });
  switch (query.kind) {
    case "nearest":
      visit(query.vector, "nearest");
      break;
    case "recommend":
      query.positive.forEach((input, i) => {
        visit(input, `recommend.positive[${i}]`);
      });
      query.negative.forEach((input, i) => {
        visit(input, `recommend.negative[${i}]`);
      });
      break;
    case "discover":
      visit(query.target, "discover.target");
      pairs(query.context, "discover.context");
      break;
    case "context":
      pairs(query.context, "context");
      break;
    case "relevance_feedback":
      visit(query.target, "relevance_feedback.target");
      query.feedback.forEach(({ example }, i) => {
        visit(example, `relevance_feedback.feedback[${i}].example`);
      });
      break;
    default:
  }
}

function collect(stage: Prefetch, at: string, to: Map<InferenceInput, string>): void {
  if (stage.query !== undefined) {
    forEachInput(stage.query, (input, place) => {
      if (isInput(input) && !to.has(input.inference)) to.set(input.inference, `${at}query.${place}`);
    });
  }
  stage.prefetch.forEach((one, i) => {
    collect(one, `${at}prefetch[${i}].`, to);
  });
}

/** The queries with vectors for all inputs; one request to the models for all of them. */
export async function resolveQueries<T extends Prefetch>(
  inference: Inference,
  stages: readonly T[],
  context: InferenceContext,
): Promise<Resolved<readonly T[]>> {
  const found = new Map<InferenceInput, string>();
  stages.forEach((stage, i) => {
    collect(stage, stages.length === 1 ? "" : `[${i}].`, found);
  });
  if (found.size === 0) return { value: stages };
  const inputs = Array.from(found, ([input, field]) => ({ input, field }));
  const { vectors, usage } = await inference.embed(inputs, "search", context);
  const made = new Map(inputs.map(({ input }, i) => [input, vectors[i] as VectorValue]));
  const replace = (input: VectorInput): VectorInput =>
    isInput(input) ? (made.get(input.inference) as VectorValue) : input;
  return { value: stages.map((stage) => replaceInputs(stage, replace)), usage };
}

function replaceInputs<T extends Prefetch>(stage: T, replace: (input: VectorInput) => VectorInput): T {
  const prefetch = stage.prefetch.map((one) => replaceInputs(one, replace));
  return { ...stage, prefetch, ...(stage.query === undefined ? {} : { query: mapQueryInputs(stage.query, replace) }) };
}

/** The query with other inputs in the places of its own. */
export function mapQueryInputs(query: Query, map: (input: VectorInput) => VectorInput): Query {
  const pairs = (context: readonly ContextPair[]): ContextPair[] =>
    context.map(({ positive, negative }) => ({ positive: map(positive), negative: map(negative) }));
  switch (query.kind) {
    case "nearest":
      return { ...query, vector: map(query.vector) };
    case "recommend":
      return { ...query, positive: query.positive.map(map), negative: query.negative.map(map) };
    case "discover":
      return { ...query, target: map(query.target), context: pairs(query.context) };
    case "context":
      return { ...query, context: pairs(query.context) };
    case "relevance_feedback":
      return {
        ...query,
        target: map(query.target),
        feedback: query.feedback.map(({ example, score }) => ({ example: map(example), score })),
      };
    default:
      return query;
  }
}
