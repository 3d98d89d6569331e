/**
 * JSON of sealpoint.v1.S5. Names are the fields' own; a filter is one of Qdrant's REST API, metadata is an object, and a session key is base64 or
 * 64 hexadecimal digits.
 */
import { create, type DescField, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as s5 from "../../../gen/sealpoint/v1/s5_pb.js";
import { badInput, DomainError } from "../../core/index.ts";
import { isList, isObject, type Json, member, toFloats, toObject, toText, WholeDouble } from "./parse.ts";
import { type AnyMessage, addReader, readFields } from "./read.ts";
import { stringText } from "./write-values.ts";

const key = "session_key";

function readKey(text: string): Uint8Array {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, "hex");
  // Its own words: the text is a secret.
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) throw badInput("expected base64, or 64 hexadecimal digits", key);
  return Buffer.from(text, "base64");
}

/** Numbers as they were written: long integers exact, doubles with their fraction. */
function jsonText(json: Json): string {
  if (isList(json)) return `[${json.map(jsonText).join(",")}]`;
  if (json instanceof WholeDouble) return Number.isFinite(json.value) ? json.value.toFixed(1) : "null";
  if (isObject(json)) {
    return `{${Object.entries(json)
      .map(([name, value]) => `${stringText(name)}:${jsonText(value)}`)
      .join(",")}}`;
  }
  return typeof json === "bigint" ? json.toString() : JSON.stringify(json);
}

addReader(s5.UploadVectorSchema, (json, at) => {
  const object = toObject(json, "struct UploadVector", at);
  const [id, vector, metadata] = ["id", "vector", "metadata"].map((name) => member(object, name));
  if (id === undefined || vector === undefined) throw badInput("id and vector are needed", at);
  return create(s5.UploadVectorSchema, {
    id: typeof id === "number" || typeof id === "bigint" ? String(id) : toText(id, `${at}.id`),
    vector: [...toFloats(vector, `${at}.vector`)],
    metadata: metadata === undefined ? "" : jsonText(toObject(metadata, "a map", `${at}.metadata`)),
  });
});

const nothing: ReadonlySet<string> = new Set();
const exceptKey: ReadonlySet<string> = new Set([key]);

function reader(
  schema: DescMessage,
): (body: Json) => { readonly bytes: Uint8Array; readonly payload: readonly boolean[] } {
  const known = new Set(schema.fields.map(({ name }) => name));
  return (body) => {
    const object = toObject(body ?? {}, `struct ${schema.name}`, "");
    // A misspelt option would be a load without it.
    for (const name of Object.keys(object)) {
      if (!known.has(name)) throw badInput(`${name.slice(0, 64)}: there is no such field`, name.slice(0, 64));
    }
    if (member(object, "session_id") !== undefined && member(object, "collection_name") !== undefined) {
      throw badInput("session_id and collection_name exclude each other", "target");
    }
    const message: AnyMessage = readFields(schema, object, "", 1, { except: known.has(key) ? exceptKey : nothing });
    const text = member(object, key);
    if (text !== undefined) message.sessionKey = readKey(toText(text, key));
    return { bytes: toBinary(schema, message), payload: [] };
  };
}

type AnyValue = { readonly [name: string]: unknown };

/** Fields without presence always, the others where they are set; a oneof by the name of its case. */
function messageText(schema: DescMessage, message: AnyValue): string {
  const parts: string[] = [];
  const add = (field: DescField, value: unknown): void => {
    if (value !== undefined) parts.push(`${stringText(field.name)}:${fieldText(field, value)}`);
  };
  for (const one of schema.members) {
    if (one.kind === "oneof") {
      const chosen = message[one.localName] as { readonly case?: string; readonly value?: unknown };
      const field = one.fields.find(({ localName }) => localName === chosen.case);
      if (field !== undefined) add(field, chosen.value);
    } else add(one, message[one.localName]);
  }
  return `{${parts.join(",")}}`;
}

function fieldText(field: DescField, value: unknown): string {
  switch (field.fieldKind) {
    case "list":
      return `[${(value as readonly unknown[])
        .map((item) => (field.listKind === "message" ? messageText(field.message, item as AnyValue) : plainText(item)))
        .join(",")}]`;
    case "message":
      return messageText(field.message, value as AnyValue);
    case "enum":
      return stringText((field.enum.value[value as number]?.localName ?? "").toLowerCase());
    default:
      // JSON already.
      return field.name === "metadata" ? String(value) : plainText(value);
  }
}

function plainText(value: unknown): string {
  if (typeof value === "string") return stringText(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "null";
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  throw new DomainError("internal", "a field that JSON has no form for");
}

const render =
  (schema: DescMessage) =>
  (bytes: Uint8Array): string =>
    messageText(schema, fromBinary(schema, bytes) as unknown as AnyValue);

export const s5Requests = {
  s5Load: reader(s5.LoadRequestSchema),
  s5Watch: reader(s5.WatchRequestSchema),
  s5Refresh: reader(s5.RefreshRequestSchema),
  s5Status: reader(s5.StatusRequestSchema),
  s5Search: reader(s5.SearchRequestSchema),
  s5Upload: reader(s5.UploadRequestSchema),
  s5List: reader(s5.ListRequestSchema),
  s5Cancel: reader(s5.CancelRequestSchema),
  s5Close: reader(s5.CloseRequestSchema),
  s5Health: reader(s5.HealthRequestSchema),
} as const;

export const s5Answers = {
  s5Status: render(s5.StatusResponseSchema),
  s5Search: render(s5.SearchResponseSchema),
  s5Upload: render(s5.UploadResponseSchema),
  s5List: render(s5.ListResponseSchema),
  s5Cancel: render(s5.CancelResponseSchema),
  s5Close: render(s5.CloseResponseSchema),
  s5Health: render(s5.HealthResponseSchema),
} as const;

/** An event of Load's, Watch's and Refresh's, whose messages have the same fields: its name, and its JSON. */
export function readS5Event(bytes: Uint8Array): { readonly name: string; readonly data: string } {
  const { event } = fromBinary(s5.LoadResponseSchema, bytes);
  const field = s5.LoadResponseSchema.fields.find(({ localName }) => localName === event.case);
  if (field?.fieldKind !== "message") throw new DomainError("internal", "an event without a name");
  return { name: field.name, data: messageText(field.message, event.value as unknown as AnyValue) };
}
