/**
 * JSON without loss: integers beyond 2^53 come as bigint, and a number that was written as floating point stays one, because ids are
 * u64 and payloads tell 1 from 1.0.
 */
import { badInput, type DomainError } from "../../core/index.ts";

/** A whole number that JSON wrote with a fraction or an exponent. */
export class WholeDouble {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

export type Json = null | boolean | number | bigint | string | WholeDouble | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** A body that is not of the form that the request has; Qdrant answers these with 400. */
export function formatError(text: string, at: string): DomainError {
  return badInput(`Format error in JSON body: ${at === "" ? "" : `${at}: `}${text}`, at === "" ? "body" : at);
}

export function missing(field: string): never {
  throw formatError(`missing field \`${field}\``, "");
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** What may stand behind a number: white space, a comma, a closing bracket or brace, or the end (NaN). */
function endsNumber(code: number): boolean {
  return (
    code === 0x2c || code === 0x5d || code === 0x7d || code === 0x20 || (code >= 9 && code <= 13) || Number.isNaN(code)
  );
}

/**
 * Whether JSON.parse alone may lose something: long integers, and whole numbers written as `1.0` or `1e3`. May be true for what stands
 * inside a text, which only costs time. Fractions of sixteen digits and small powers of ten, which vectors are made of, lose nothing.
 * A loop, because a regular expression for it takes three times as long, and bodies are mostly vectors.
 */
export function mayLose(text: string): boolean {
  const end = text.length;
  let at = 0;
  while (at < end) {
    if (!isDigit(text.charCodeAt(at))) {
      at += 1;
      continue;
    }
    const start = at;
    do at += 1;
    while (isDigit(text.charCodeAt(at)));
    let next = text.charCodeAt(at);
    if (next === 0x2e) {
      at += 1;
      const fraction = at;
      while (text.charCodeAt(at) === 0x30) at += 1;
      if (at > fraction && endsNumber(text.charCodeAt(at))) return true;
      while (isDigit(text.charCodeAt(at))) at += 1;
      next = text.charCodeAt(at);
    } else if (at - start >= 16 && endsNumber(next)) {
      return true;
    }
    if (next === 0x45 || next === 0x65) {
      const power = text.charCodeAt(at + 1) === 0x2b ? at + 2 : at + 1;
      if (isDigit(text.charCodeAt(power))) return true;
    }
  }
  return false;
}

/** Throws bad_input. */
export function parseJson(text: string): Json {
  try {
    return mayLose(text) ? parseSlowly(text) : (JSON.parse(text) as Json);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // The message quotes the body, which may be a secret: only the place is told.
    const place = /line \d+ column \d+|position \d+/.exec(error.message)?.[0];
    const what = /end of JSON/.test(error.message) ? "EOF while parsing a value" : "expected value";
    throw formatError(place === undefined ? what : `${what} at ${place}`, "");
  }
}

type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown;

function parseSlowly(text: string): Json {
  const revive: Reviver = (_key, value, { source }) => {
    if (typeof value !== "number" || source === undefined || !Number.isInteger(value)) return value;
    if (/[.eE]/.test(source)) return new WholeDouble(value);
    return Number.isSafeInteger(value) ? value : BigInt(source);
  };
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown) as Json;
}

export function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json) && !(json instanceof WholeDouble);
}

export function isList(json: Json | undefined): json is readonly Json[] {
  return Array.isArray(json);
}

/** A member of an object; undefined when absent or null, which Qdrant takes for the same. */
export function member(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? (object[key] ?? undefined) : undefined;
}

/** The kind of a value as serde names it; never the value. */
export function kindOf(json: Json | undefined): string {
  if (json === undefined || json === null) return "null";
  if (isList(json)) return "sequence";
  if (json instanceof WholeDouble) return "floating point";
  if (typeof json === "object") return "map";
  if (typeof json === "number") return Number.isInteger(json) ? "integer" : "floating point";
  return typeof json === "bigint" ? "integer" : typeof json;
}

export function toNumber(json: Json, at: string): number {
  const value = typeof json === "number" ? json : json instanceof WholeDouble ? json.value : undefined;
  if (value !== undefined) {
    if (!Number.isFinite(value)) throw formatError("number out of range", at);
    return value;
  }
  if (typeof json === "bigint") return Number(json);
  throw formatError(`invalid type: ${kindOf(json)}, expected a number`, at);
}

export function toInteger(json: Json, min: bigint, max: bigint, expected: string, at: string): bigint {
  if (typeof json !== "bigint" && !(typeof json === "number" && Number.isInteger(json))) {
    throw formatError(`invalid type: ${kindOf(json)}, expected ${expected}`, at);
  }
  const value = BigInt(json);
  if (value < min || value > max) throw formatError(`invalid value: integer out of range, expected ${expected}`, at);
  return value;
}

export function toText(json: Json, at: string): string {
  if (typeof json !== "string") throw formatError(`invalid type: ${kindOf(json)}, expected a string`, at);
  if (!json.isWellFormed()) throw formatError("lone leading surrogate in hex escape", at);
  return json;
}

export function toBoolean(json: Json, at: string): boolean {
  if (typeof json !== "boolean") throw formatError(`invalid type: ${kindOf(json)}, expected a boolean`, at);
  return json;
}

export function toList(json: Json, at: string): readonly Json[] {
  if (!isList(json)) throw formatError(`invalid type: ${kindOf(json)}, expected a sequence`, at);
  return json;
}

export function toObject(json: Json, expected: string, at: string): JsonObject {
  if (!isObject(json)) throw formatError(`invalid type: ${kindOf(json)}, expected ${expected}`, at);
  return json;
}

/** Floats of one vector as float32; what is beyond float32 becomes infinite and is refused where vectors are judged. */
export function toFloats(json: Json, at: string): Float32Array {
  const list = toList(json, at);
  const floats = new Float32Array(list.length);
  for (let i = 0; i < list.length; i++) {
    const value = list[i];
    floats[i] = typeof value === "number" ? value : toNumber(value as Json, `${at}[${i}]`);
  }
  return floats;
}
