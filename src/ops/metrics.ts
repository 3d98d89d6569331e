/**
 * Prometheus metrics. The figures of each call are added to plain arrays and turned into Prometheus's form only when
 * somebody scrapes: a search answers in tens of microseconds and may not spend one of them here.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { collectDefaultMetrics, Gauge, type Metric, Registry } from "prom-client";

const busyTickMs = 4;

/**
 * A delay of the loop has two causes: work on its thread, and other processes on its core. Between two ticks of a timer the thread's own
 * processor time tells the first alone, garbage collection on it included.
 */
function watchLoopThread(): { takeMaxSeconds(): number; close(): void } {
  const now = () => {
    const { user, system } = process.threadCpuUsage();
    return user + system;
  };
  let last = now();
  let maxUs = 0;
  const timer = setInterval(() => {
    const at = now();
    // A busy loop that comes round in time uses up to one tick between two of them.
    maxUs = Math.max(maxUs, at - last - busyTickMs * 1_000);
    last = at;
  }, busyTickMs);
  timer.unref();
  return {
    takeMaxSeconds() {
      const taken = maxUs;
      maxUs = 0;
      return taken / 1e6;
    },
    close: () => clearInterval(timer),
  };
}

/** Seconds; from a cached search to a long stream. */
const durationBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300];
const loopDelayResolutionMs = 5;

class MethodFigures {
  inFlight = 0;
  count = 0;
  secondsTotal = 0;
  /** Calls by gRPC status. */
  readonly codes = new Map<number, number>();
  readonly buckets = new Float64Array(durationBuckets.length);
}

export interface LabelledValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metrics {
  readonly registry: Registry;
  onCallStart(method: string): void;
  onCallEnd(method: string, code: number, seconds: number): void;
  /** A figure read at each scrape. */
  addGauge(name: string, help: string, read: () => number | Promise<number>): void;
  /** A count that only grows, read at each scrape. */
  addCounter(name: string, help: string, read: () => Promise<number>): void;
  /** Figures that differ by labels, all read at each scrape. */
  addGauges(name: string, help: string, read: () => Promise<readonly LabelledValue[]>): void;
  close(): void;
}

export function createMetrics(codeName: (code: number) => string): Metrics {
  const registry = new Registry();
  const methods = new Map<string, MethodFigures>();
  const of = (method: string): MethodFigures => {
    let figures = methods.get(method);
    if (figures === undefined) {
      figures = new MethodFigures();
      methods.set(method, figures);
    }
    return figures;
  };
  collectDefaultMetrics({ register: registry });
  registerFigures(registry, methods, codeName);

  const delay = monitorEventLoopDelay({ resolution: loopDelayResolutionMs });
  delay.enable();
  new Gauge({
    name: "sealpoint_event_loop_delay_max_seconds",
    help: "Longest hold of the event loop since the last scrape.",
    registers: [registry],
    collect() {
      // The monitor's own timer interval is part of what it records.
      this.set(Math.max(0, delay.max / 1e9 - loopDelayResolutionMs / 1e3));
      delay.reset();
    },
  });

  const busy = watchLoopThread();
  new Gauge({
    name: "sealpoint_event_loop_busy_max_seconds",
    help: "Most processor time of the event loop's thread without the loop coming round, since the last scrape: the hold without what the machine's scheduling adds.",
    registers: [registry],
    collect() {
      this.set(busy.takeMaxSeconds());
    },
  });

  return {
    registry,
    onCallStart(method) {
      of(method).inFlight += 1;
    },
    onCallEnd(method, code, seconds) {
      const figures = of(method);
      figures.inFlight -= 1;
      figures.count += 1;
      figures.secondsTotal += seconds;
      figures.codes.set(code, (figures.codes.get(code) ?? 0) + 1);
      const bucket = durationBuckets.findIndex((bound) => seconds <= bound);
      if (bucket >= 0) figures.buckets[bucket] = (figures.buckets[bucket] ?? 0) + 1;
    },
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
    close() {
      delay.disable();
      busy.close();
      registry.clear();
    },
  };
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
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

function registerFigures(
  registry: Registry,
  methods: ReadonlyMap<string, MethodFigures>,
  codeName: (code: number) => string,
): void {
  const register = (
    name: string,
    help: string,
    type: "counter" | "gauge" | "histogram",
    sample: () => Sample[],
  ): void => registerSamples(registry, name, help, type, async () => sample());
  const entries = () => [...methods].sort(([a], [b]) => (a < b ? -1 : 1));
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
