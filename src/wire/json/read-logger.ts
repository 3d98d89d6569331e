/** Qdrant's POST /logger: what of the log is to change. */
import {
  formatError,
  isObject,
  type Json,
  type JsonObject,
  kindOf,
  member,
  parseJson,
  toBoolean,
  toInteger,
  toList,
  toText,
} from "./parse.ts";

const spanEvents = ["new", "enter", "exit", "close"] as const;
const formats = ["text", "json"] as const;

/** Of one destination; what is absent stays as it is. */
export interface LogChange {
  readonly log_level?: string;
  readonly span_events?: readonly (typeof spanEvents)[number][];
  readonly format?: (typeof formats)[number];
}

export interface LoggerChange extends LogChange {
  readonly color?: "auto" | boolean;
  readonly on_disk?: LogChange & {
    readonly enabled?: boolean;
    readonly log_file?: string;
    readonly buffer_size_bytes?: number;
  };
}

const textCharactersMax = 4_096;

/** Throws bad_input. Members that nobody knows are passed over, as Qdrant does. */
export function readLoggerChange(body: string): LoggerChange {
  const json = parseJson(body);
  if (!isObject(json)) throw formatError(`invalid type: ${kindOf(json)}, expected struct LoggerConfig`, "");
  const disk = member(json, "on_disk");
  if (disk !== undefined && !isObject(disk)) {
    throw formatError(`invalid type: ${kindOf(disk)}, expected struct Config`, "on_disk");
  }
  return {
    ...readLog(json, ""),
    ...optional(json, "", "color", readColor),
    ...(disk === undefined
      ? {}
      : {
          on_disk: {
            ...readLog(disk, "on_disk."),
            ...optional(disk, "on_disk.", "enabled", toBoolean),
            ...optional(disk, "on_disk.", "log_file", shortText),
            ...optional(disk, "on_disk.", "buffer_size_bytes", (value, at) =>
              Number(toInteger(value, 0n, BigInt(Number.MAX_SAFE_INTEGER), "usize", at)),
            ),
          },
        }),
  };
}

function readLog(json: JsonObject, at: string): LogChange {
  return {
    ...optional(json, at, "log_level", shortText),
    ...optional(json, at, "span_events", (value, place) => [
      ...new Set(toList(value, place).map((one, i) => oneOf(spanEvents, one, `${place}[${i}]`))),
    ]),
    ...optional(json, at, "format", (value, place) => oneOf(formats, value, place)),
  };
}

function optional<K extends string, T>(
  json: JsonObject,
  at: string,
  key: K,
  read: (value: Json, at: string) => T,
): { readonly [key in K]?: T } {
  const value = member(json, key);
  return value === undefined ? {} : ({ [key]: read(value, `${at}${key}`) } as { [key in K]: T });
}

function shortText(json: Json, at: string): string {
  const text = toText(json, at);
  if (text.length > textCharactersMax) throw formatError(`longer than ${textCharactersMax} characters`, at);
  return text;
}

function readColor(json: Json, at: string): "auto" | boolean {
  return typeof json === "boolean" ? json : oneOf(["auto"] as const, json, at);
}

function oneOf<T extends string>(names: readonly T[], json: Json, at: string): T {
  const text = toText(json, at);
  const found = names.find((name) => name === text);
  if (found === undefined) {
    throw formatError(`unknown variant, expected one of ${names.map((name) => `\`${name}\``).join(", ")}`, at);
  }
  return found;
}
