/** The names that Qdrant's /metrics has for requests and for the process, so that its dashboards and alerts work unchanged. Ours stand beside. */
import { readFile } from "node:fs/promises";
import { durationBuckets, type MethodFigures } from "./figures.ts";
import type { ResponseBook, ResponseFigures } from "./responses.ts";

export interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

type Kind = "counter" | "gauge" | "histogram";
export type Register = (name: string, help: string, type: Kind, read: () => Sample[] | Promise<Sample[]>) => void;

const lowestFailure = 400;

/** Of which a scrape that asks for them by collection gets those alone, as Qdrant has it. */
export interface ScrapeMode {
  perCollection: boolean;
}

type Labels = Sample["labels"];

export function registerRestResponses(register: Register, book: ResponseBook, mode: ScrapeMode): void {
  const entries = (): [Labels, ResponseFigures][] =>
    mode.perCollection
      ? book
          .byCollection()
          .flatMap(([collection, figures]) =>
            figures.map((one): [Labels, ResponseFigures] => [{ ...labelsOf(one), collection }, one]),
          )
      : book.all().map((one) => [labelsOf(one), one]);
  const of =
    (value: (one: ResponseFigures) => number, keep: (one: ResponseFigures) => boolean = () => true) =>
    () =>
      entries()
        .filter(([, one]) => keep(one))
        .map(([labels, one]) => ({ labels, value: value(one) }));
  const total = (one: ResponseFigures): number => one.durations.count;
  register("rest_responses_total", "Responses through the REST API.", "counter", of(total));
  const failed = of(total, ({ status }) => status >= lowestFailure);
  register("rest_responses_fail_total", "Failed responses through the REST API.", "counter", failed);
  for (const [which, value] of [
    ["avg", (one: ResponseFigures) => one.durations.sum / Math.max(one.durations.count, 1)],
    ["min", (one: ResponseFigures) => one.secondsMin],
    ["max", (one: ResponseFigures) => one.secondsMax],
  ] as const) {
    const help = `Duration of responses through the REST API, ${which}.`;
    register(`rest_responses_${which}_duration_seconds`, help, "gauge", of(value));
  }
  const name = "rest_responses_duration_seconds";
  register(name, "Durations of responses through the REST API.", "histogram", () =>
    entries().flatMap(([labels, { durations }]) =>
      histogram(name, labels, durations.counts, durations.count, durations.sum),
    ),
  );
}

function labelsOf({ method, endpoint, status }: ResponseFigures): Labels {
  return { method, endpoint, status: String(status) };
}

/** Durations are of all statuses of a method together. */
export function registerGrpcResponses(
  register: Register,
  methods: () => [string, MethodFigures][],
  collections: () => [string, [string, MethodFigures][]][],
  mode: ScrapeMode,
): void {
  const entries = (): [Labels, MethodFigures][] =>
    mode.perCollection
      ? collections().flatMap(([collection, table]) =>
          table.map(([endpoint, figures]): [Labels, MethodFigures] => [{ endpoint, collection }, figures]),
        )
      : methods().map(([endpoint, figures]) => [{ endpoint }, figures]);
  const of = (read: (figures: MethodFigures) => number) => () =>
    entries().map(([labels, figures]) => ({ labels, value: read(figures) }));
  const byStatus = (keep: (code: number) => boolean) => () =>
    entries().flatMap(([labels, { codes }]) =>
      [...codes]
        .filter(([code]) => keep(code))
        .map(([code, value]) => ({ labels: { ...labels, status: String(code) }, value })),
    );
  register(
    "grpc_responses_total",
    "Responses through the gRPC API.",
    "counter",
    byStatus(() => true),
  );
  register(
    "grpc_responses_fail_total",
    "Failed responses through the gRPC API.",
    "counter",
    byStatus((code) => code !== 0),
  );
  for (const [which, value] of [
    ["avg", (figures: MethodFigures) => figures.secondsTotal / Math.max(figures.count, 1)],
    ["min", (figures: MethodFigures) => (figures.count === 0 ? 0 : figures.secondsMin)],
    ["max", (figures: MethodFigures) => figures.secondsMax],
  ] as const) {
    const help = `Duration of responses through the gRPC API, ${which}.`;
    register(`grpc_responses_${which}_duration_seconds`, help, "gauge", of(value));
  }
  const name = "grpc_responses_duration_seconds";
  register(name, "Durations of responses through the gRPC API.", "histogram", () =>
    entries().flatMap(([labels, { buckets, count, secondsTotal }]) =>
      histogram(name, labels, buckets, count, secondsTotal),
    ),
  );
}

function histogram(
  name: string,
  labels: Sample["labels"],
  buckets: ArrayLike<number>,
  count: number,
  sum: number,
): Sample[] {
  let below = 0;
  const rows: Sample[] = durationBuckets.map((le, i) => {
    below += buckets[i] ?? 0;
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: below };
  });
  return [
    ...rows,
    { metricName: `${name}_bucket`, labels: { le: "+Inf", ...labels }, value: count },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

const newLine = 0x0a;

/** jemalloc's figures that Qdrant has beside these (metadata, retained) have no counterpart here. */
export function registerProcess(register: Register): void {
  const one = (value: number): Sample[] => [{ labels: {}, value }];
  const status = async (field: string): Promise<Sample[]> => {
    const text = await readFile("/proc/self/status", "utf8").catch(() => "");
    const found = new RegExp(`^${field}:\\s+(\\d+)( kB)?`, "m").exec(text);
    return found === null ? [] : one(Number(found[1]) * (found[2] === undefined ? 1 : 1024));
  };
  register("memory_resident_bytes", "Physical memory of the process, mapped files included.", "gauge", () =>
    status("VmRSS"),
  );
  register("memory_active_bytes", "Physical memory of the process that is its own.", "gauge", () => status("RssAnon"));
  register("memory_allocated_bytes", "Memory that the process asked for.", "gauge", () => status("VmData"));
  register("process_threads", "Threads of the process.", "gauge", () => status("Threads"));
  register("process_open_mmaps", "Memory mappings of the process.", "gauge", async () => {
    const maps = await readFile("/proc/self/maps").catch(() => Buffer.alloc(0));
    let lines = 0;
    for (let at = maps.indexOf(newLine); at >= 0; at = maps.indexOf(newLine, at + 1)) lines += 1;
    return lines === 0 ? [] : one(lines);
  });
  register("system_max_mmaps", "Memory mappings that a process may have.", "gauge", async () => {
    const text = await readFile("/proc/sys/vm/max_map_count", "latin1").catch(() => "");
    return text === "" ? [] : one(Number(text));
  });
  register("process_minor_page_faults_total", "Page faults that needed no disk.", "counter", () =>
    one(process.resourceUsage().minorPageFault),
  );
  register("process_major_page_faults_total", "Page faults that needed a disk.", "counter", () =>
    one(process.resourceUsage().majorPageFault),
  );
}
