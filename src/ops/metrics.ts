/**
 * Prometheus metrics. The figures of each call are added to plain arrays (figures.ts) and turned into Prometheus's form only when
 * somebody scrapes: a search answers in tens of microseconds and may not spend one of them here. With several threads that serve, a
 * scrape adds them up.
 */
import { collectDefaultMetrics, Gauge, type Metric, Registry } from "prom-client";
import {
  type Durations,
  durationBuckets,
  FigureBook,
  type MethodFigures,
  sumCollections,
  sumMethods,
  type ThreadFigures,
} from "./figures.ts";
import {
  registerGrpcResponses,
  registerProcess,
  registerRestResponses,
  type Sample,
  type ScrapeMode,
} from "./qdrant-metrics.ts";
import { ResponseBook } from "./responses.ts";

export interface LabelledValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metrics {
  /** What the REST door answers is noted here. */
  readonly responses: ResponseBook;
  /** The calls of all threads that serve, by method. */
  methods(): Promise<[string, MethodFigures][]>;
  /** Those that name a collection, by it: of the collections that were used last. */
  collections(): Promise<[string, [string, MethodFigures][]][]>;
  /** `perCollection`: responses by collection instead of all together. */
  readonly registry: { metrics(perCollection?: boolean): Promise<string>; readonly contentType: string };
  onCallStart(method: string): void;
  onCallEnd(method: string, code: number, seconds: number, collection?: string): void;
  /** A figure read at each scrape. */
  addGauge(name: string, help: string, read: () => number | Promise<number>): void;
  /** A count that only grows, read at each scrape. */
  addCounter(name: string, help: string, read: () => Promise<number>): void;
  /** Figures that differ by labels, all read at each scrape. */
  addGauges(name: string, help: string, read: () => Promise<readonly LabelledValue[]>): void;
  /** Counts that only grow and differ by labels. */
  addCounters(
    name: string,
    help: string,
    read: () => readonly LabelledValue[] | Promise<readonly LabelledValue[]>,
  ): void;
  addHistogram(name: string, help: string, durations: Durations): void;
  close(): void;
}

/** Of the text format, each line that names a metric. */
const namedLines = /^(?:# (?:HELP|TYPE) )?(?=[A-Za-z_:])/gm;

/** `readOthers`: the figures of the other threads that serve, asked for at each scrape. `prefix`: of all names. */
export function createMetrics(
  codeName: (code: number) => string,
  readOthers: () => Promise<readonly ThreadFigures[]> = async () => [],
  prefix = "",
): Metrics {
  const registry = new Registry();
  const own = new FigureBook("main");
  let threads: readonly ThreadFigures[] = [];
  // One scrape at a time: they share what is read and the mode.
  let last: Promise<unknown> = Promise.resolve();
  collectDefaultMetrics({ register: registry });
  registerCalls(registry, () => sumMethods(threads), codeName);
  const responses = new ResponseBook();
  const register: Parameters<typeof registerProcess>[0] = (name, help, type, read) =>
    registerSamples(registry, name, help, type, async () => read());
  const mode: ScrapeMode = { perCollection: false };
  registerRestResponses(register, responses, mode);
  registerGrpcResponses(
    register,
    () => sumMethods(threads),
    () => sumCollections(threads),
    mode,
  );
  registerProcess(register);
  // Alone, the main thread's figures carry no label.
  const byThread = (read: (figures: ThreadFigures) => number) => async () =>
    threads.map((figures) => ({
      labels: threads.length > 1 ? { thread: figures.thread } : ({} as Record<string, string>),
      value: read(figures),
    }));
  const addThreadGauge = (name: string, help: string, read: (figures: ThreadFigures) => number): void =>
    registerSamples(registry, name, help, "gauge", byThread(read));
  addThreadGauge(
    "sealpoint_event_loop_delay_max_seconds",
    "Longest hold of the event loop since the last scrape.",
    (figures) => figures.loopDelayMax,
  );
  addThreadGauge(
    "sealpoint_event_loop_busy_max_seconds",
    "Most processor time of the event loop's thread without the loop coming round, since the last scrape: the hold without what the machine's scheduling adds.",
    (figures) => figures.loopBusyMax,
  );
  addThreadGauge(
    "sealpoint_thread_heap_bytes",
    "Resident JavaScript heap of a thread that serves.",
    (figures) => figures.heapBytes,
  );

  return {
    responses,
    methods: async () => sumMethods([own.calls(), ...(await readOthers())]),
    collections: async () => sumCollections([own.calls(), ...(await readOthers())]),
    registry: {
      contentType: registry.contentType,
      metrics(perCollection = false) {
        const scrape = last.then(async () => {
          const others = await readOthers();
          threads = [own.read(), ...others];
          mode.perCollection = perCollection;
          const text = await registry.metrics();
          return prefix === "" ? text : text.replace(namedLines, (start) => start + prefix);
        });
        last = scrape.catch(() => undefined);
        return scrape;
      },
    },
    onCallStart: (method) => own.onCallStart(method),
    onCallEnd: (method, code, seconds, collection) => own.onCallEnd(method, code, seconds, collection),
    addGauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers: [registry],
        async collect() {
          this.set(await read());
        },
      });
    },
    addCounter(name, help, read) {
      registerSamples(registry, name, help, "counter", async () => [{ labels: {}, value: await read() }]);
    },
    addGauges(name, help, read) {
      registerSamples(registry, name, help, "gauge", read);
    },
    addCounters(name, help, read) {
      registerSamples(registry, name, help, "counter", async () => read());
    },
    addHistogram(name, help, durations) {
      registerSamples(registry, name, help, "histogram", async () => histogramSamples(name, durations));
    },
    close() {
      own.close();
      registry.clear();
    },
  };
}

function histogramSamples(name: string, { bounds, counts, count, sum }: Durations): Sample[] {
  let below = 0;
  return [
    ...bounds.map((le, place): Sample => {
      below += counts[place] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le }, value: below };
    }),
    { metricName: `${name}_bucket`, labels: { le: "+Inf" }, value: count },
    { metricName: `${name}_sum`, labels: {}, value: sum },
    { metricName: `${name}_count`, labels: {}, value: count },
  ];
}

/** Registers what prom-client's registry asks of a metric: a name, a kind and a reader. */
function registerSamples(
  registry: Registry,
  name: string,
  help: string,
  type: "counter" | "gauge" | "histogram",
  read: () => Promise<readonly Sample[]>,
): void {
  const shape = { name, help, type, aggregator: "sum" };
  const metric = { ...shape, get: async () => ({ ...shape, values: await read() }), reset: () => undefined };
  registry.registerMetric(metric as unknown as Metric);
}

function registerCalls(
  registry: Registry,
  entries: () => [string, MethodFigures][],
  codeName: (code: number) => string,
): void {
  const register = (
    name: string,
    help: string,
    type: "counter" | "gauge" | "histogram",
    sample: () => Sample[],
  ): void => registerSamples(registry, name, help, type, async () => sample());
  register("sealpoint_grpc_requests_total", "gRPC calls ended, by method and status.", "counter", () =>
    entries().flatMap(([method, figures]) =>
      [...figures.codes].map(([code, value]) => ({ labels: { method, code: codeName(code) }, value })),
    ),
  );
  register("sealpoint_grpc_requests_in_flight", "gRPC calls and streams that are open.", "gauge", () =>
    entries().map(([method, figures]) => ({ labels: { method }, value: figures.inFlight })),
  );
  const name = "sealpoint_grpc_request_duration_seconds";
  register(name, "Time from a call's headers to its status.", "histogram", () =>
    entries().flatMap(([method, figures]) => {
      let below = 0;
      const buckets: Sample[] = durationBuckets.map((le, index) => {
        below += figures.buckets[index] ?? 0;
        return { metricName: `${name}_bucket`, labels: { le, method }, value: below };
      });
      return [
        ...buckets,
        { metricName: `${name}_bucket`, labels: { le: "+Inf", method }, value: figures.count },
        { metricName: `${name}_sum`, labels: { method }, value: figures.secondsTotal },
        { metricName: `${name}_count`, labels: { method }, value: figures.count },
      ];
    }),
  );
}
