/** The log's settings while the server runs, in the form of Qdrant's GET and POST /logger. */
import { badInput } from "../core/index.ts";
import type { LogLevel } from "./config.ts";

interface LogShown {
  readonly log_level: string | null;
  /** Of Rust's spans, which there are none of here: shown and without effect, as `format` and `color` are. */
  readonly span_events: readonly string[] | null;
  readonly format: string | null;
}

export interface LoggerShown extends LogShown {
  readonly color: "auto" | boolean | null;
  readonly on_disk: LogShown & {
    readonly enabled: boolean | null;
    readonly log_file: string | null;
    readonly buffer_size_bytes: number | null;
  };
}

/** What is absent stays. */
type Change<T> = { readonly [K in keyof T]?: NonNullable<T[K]> };
export type LoggerSettings = Change<Omit<LoggerShown, "on_disk">> & {
  readonly on_disk?: Change<LoggerShown["on_disk"]>;
};

/** Rust's names for levels; `off` is the only one that is called otherwise here. */
const levels: ReadonlyMap<string, LogLevel> = new Map<string, LogLevel>([
  ["trace", "trace"],
  ["debug", "debug"],
  ["info", "info"],
  ["warn", "warn"],
  ["error", "error"],
  ["off", "silent"],
]);

/** Of filters such as `info,actix=warn` the last level that stands alone; without one `info`, as Qdrant has it. */
export function levelOf(filters: string): LogLevel {
  const found = filters
    .split(",")
    .map((one) => levels.get(one.trim().toLowerCase()))
    .findLast((level) => level !== undefined);
  return found ?? "info";
}

export class LoggerControl {
  readonly #apply: (level: LogLevel) => void;
  #shown: LoggerShown;

  /** `apply` sets the level of every thread's log. */
  constructor(level: LogLevel, apply: (level: LogLevel) => void) {
    const none = { span_events: null, format: null };
    const disk = { enabled: null, log_file: null, log_level: null, buffer_size_bytes: null, ...none };
    this.#apply = apply;
    this.#shown = { log_level: level === "silent" ? "OFF" : level.toUpperCase(), ...none, color: null, on_disk: disk };
  }

  shown(): LoggerShown {
    return this.#shown;
  }

  /** Throws bad_input for a log on the disk: the log goes to standard error, and whoever may call is not one who writes files here. */
  update(given: LoggerSettings): void {
    const { on_disk: disk = {}, ...own } = given;
    if (disk.log_file !== undefined) {
      throw badInput("Bad request: on_disk.log_file: the log goes to standard error only", "on_disk.log_file");
    }
    if (disk.enabled === true) {
      throw badInput(
        "Bad request: log file is not specified (it can only be specified in the config file)",
        "on_disk.enabled",
      );
    }
    this.#shown = { ...this.#shown, ...own, on_disk: { ...this.#shown.on_disk, ...disk } };
    if (own.log_level !== undefined) this.#apply(levelOf(own.log_level));
  }
}
