/** What run.ts asks a running server, and short ways to write it down. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

export type Probe =
  | {
      readonly kind: "call";
      readonly label: string;
      /** `qdrant.Points/Query`. */
      readonly method: string;
      readonly request: JsonObject;
      /** A path into the answer's JSON and what stands there; the run fails when a served call answers otherwise. */
      readonly expect?: readonly [path: string, value: Json];
      /** The request is served as if the setting were not there. */
      readonly withoutEffect?: true;
    }
  /** A collection is created with these settings; they count as echoed when Get shows them at `path`. */
  | { readonly kind: "echo"; readonly label: string; readonly config: JsonObject; readonly path: string }
  | { readonly kind: "http"; readonly label: string; readonly path: string }
  | { readonly kind: "stated"; readonly text: string; readonly shownBy?: string };

/** One capability. */
export interface Row {
  readonly title: string;
  readonly probes: readonly Probe[];
  readonly note?: string;
}

/** A collection that the run fills; `named` has the vectors a and b. */
export const plain = "plain";
export const named = "named";

export const call = (label: string, method: string, request: JsonObject, expect?: readonly [string, Json]): Probe => ({
  kind: "call",
  label,
  method,
  request,
  expect,
});
export const echo = (label: string, config: JsonObject, path: string): Probe => ({ kind: "echo", label, config, path });
export const http = (path: string): Probe => ({ kind: "http", label: `GET ${path}`, path });
export const stated = (text: string, shownBy?: string): Probe => ({ kind: "stated", text, shownBy });

/** A call whose setting is taken and changes nothing. */
export const accepted = (probe: Probe): Probe => (probe.kind === "call" ? { ...probe, withoutEffect: true } : probe);

export const size4 = { params: { size: 4, distance: "Cosine" } };
export const feedback = {
  target: { id: { num: 1 } },
  feedback: [{ example: { id: { num: 2 } }, score: 0.9 }],
  strategy: { naive: { a: 1, b: 1, c: 1 } },
};
export const dense = { dense: { data: [1, 0, 0, 0] } };
export const nearest = { nearest: dense };
export const ids = (...numbers: number[]): JsonObject => ({ points: { ids: numbers.map((num) => ({ num })) } });

export const create = (label: string, name: string, fields: JsonObject): Probe =>
  call(label, "qdrant.Collections/Create", { collection_name: name, ...fields });
export const createWith = (label: string, name: string, params: JsonObject): Probe =>
  create(label, name, { vectors_config: { params: { size: 4, distance: "Cosine", ...params } } });
export const points = (label: string, method: string, fields: JsonObject, expect?: readonly [string, Json]): Probe =>
  call(label, `qdrant.Points/${method}`, { collection_name: plain, ...fields }, expect);
export const query = (label: string, fields: JsonObject, expect?: readonly [string, Json]): Probe =>
  points(label, "Query", { limit: 3, ...fields }, expect);
export const params = (label: string, value: JsonObject): Probe => query(label, { query: nearest, params: value });
export const count = (label: string, filter: JsonObject, expected: number): Probe =>
  points(label, "Count", { filter, exact: true }, ["result.count", String(expected)]);
export const must = (label: string, condition: JsonObject, expected: number): Probe =>
  count(label, { must: [condition] }, expected);
export const match = (label: string, key: string, value: JsonObject, expected: number): Probe =>
  must(label, { field: { key, match: value } }, expected);
export const field = (label: string, key: string, condition: JsonObject, expected: number): Probe =>
  must(label, { field: { key, ...condition } }, expected);
export const index = (type: string): Probe =>
  points(type.toLowerCase(), "CreateFieldIndex", {
    wait: true,
    field_name: `index_${type.toLowerCase()}`,
    field_type: `FieldType${type}`,
  });
export const upsert = (label: string, fields: JsonObject): Probe =>
  points(label, "Upsert", {
    points: [{ id: { num: 9 }, vectors: { vector: { dense: { data: [0, 0, 0, 1] } } } }],
    wait: true,
    ...fields,
  });
export const city = { city: { string_value: "Rome" } };
export const cluster = (label: string, fields: JsonObject = {}): Probe =>
  call(label, `qdrant.Collections/${label}`, { collection_name: plain, ...fields });
export const snapshots = (label: string): Probe =>
  call(label, `qdrant.Snapshots/${label}`, label.endsWith("Full") ? {} : { collection_name: plain });
