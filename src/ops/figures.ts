/** What one thread that serves knows of itself: its calls and how long its event loop was held. Plain data, so that threads can send it. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import { ByCollection } from "./by-collection.ts";

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

const loopDelayResolutionMs = 5;

/** Seconds; from a cached search to a long stream. */
export const durationBuckets = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300,
];

/** Seconds, as a histogram of Prometheus': each count is of what did not exceed its bound and exceeded the one before. */
export class Durations {
  readonly bounds: readonly number[];
  readonly counts: number[];
  count = 0;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  observe(seconds: number): void {
    this.count++;
    this.sum += seconds;
    const place = this.bounds.findIndex((bound) => seconds <= bound);
    if (place >= 0) this.counts[place] = (this.counts[place] as number) + 1;
  }
}

export class MethodFigures {
  inFlight = 0;
  count = 0;
  secondsTotal = 0;
  secondsMin = Number.POSITIVE_INFINITY;
  secondsMax = 0;
  /** Calls by gRPC status. */
  readonly codes = new Map<number, number>();
  /** Calls by the first of durationBuckets that they did not exceed. */
  readonly buckets = new Float64Array(durationBuckets.length);
}

type MethodTable = ReadonlyMap<string, Readonly<MethodFigures>>;

export interface ThreadFigures {
  readonly thread: string;
  readonly methods: MethodTable;
  /** Of calls that name a collection, by it. */
  readonly collections: ReadonlyMap<string, MethodTable>;
  /** Seconds, the most since they were last read. */
  readonly loopDelayMax: number;
  readonly loopBusyMax: number;
  readonly heapBytes: number;
}

/** The figures of the thread that makes it. */
export class FigureBook {
  readonly #thread: string;
  readonly #methods = new Map<string, MethodFigures>();
  readonly #byCollection = new ByCollection<Map<string, MethodFigures>>(() => new Map());
  readonly #delay = monitorEventLoopDelay({ resolution: loopDelayResolutionMs });
  readonly #busy = watchLoopThread();

  constructor(thread: string) {
    this.#thread = thread;
    this.#delay.enable();
  }

  onCallStart(method: string): void {
    figuresOf(this.#methods, method).inFlight += 1;
  }

  onCallEnd(method: string, code: number, seconds: number, collection?: string): void {
    const figures = figuresOf(this.#methods, method);
    figures.inFlight -= 1;
    note(figures, code, seconds);
    if (collection === undefined) return;
    const own = this.#byCollection.of(collection, code === 0);
    if (own !== undefined) note(figuresOf(own, method), code, seconds);
  }

  /** The calls alone: the loop's figures go on. */
  calls(): Pick<ThreadFigures, "methods" | "collections"> {
    return { methods: this.#methods, collections: this.#byCollection.all() };
  }

  /** Starts the loop's figures anew. */
  read(): ThreadFigures {
    // The monitor's own timer interval is part of what it records.
    const loopDelayMax = Math.max(0, this.#delay.max / 1e9 - loopDelayResolutionMs / 1e3);
    this.#delay.reset();
    return {
      thread: this.#thread,
      ...this.calls(),
      loopDelayMax,
      loopBusyMax: this.#busy.takeMaxSeconds(),
      heapBytes: getHeapStatistics().total_physical_size,
    };
  }

  close(): void {
    this.#delay.disable();
    this.#busy.close();
  }
}

function figuresOf(methods: Map<string, MethodFigures>, method: string): MethodFigures {
  let figures = methods.get(method);
  if (figures === undefined) {
    figures = new MethodFigures();
    methods.set(method, figures);
  }
  return figures;
}

function note(figures: MethodFigures, code: number, seconds: number): void {
  figures.count += 1;
  figures.secondsTotal += seconds;
  if (seconds < figures.secondsMin) figures.secondsMin = seconds;
  if (seconds > figures.secondsMax) figures.secondsMax = seconds;
  figures.codes.set(code, (figures.codes.get(code) ?? 0) + 1);
  const bucket = durationBuckets.findIndex((bound) => seconds <= bound);
  if (bucket >= 0) figures.buckets[bucket] = (figures.buckets[bucket] ?? 0) + 1;
}

/** The calls of all threads together, by collection in the order of their names. */
export function sumCollections(
  threads: readonly Pick<ThreadFigures, "collections">[],
): [string, [string, MethodFigures][]][] {
  const names = new Set(threads.flatMap(({ collections }) => [...collections.keys()]));
  return [...names].sort().map((name) => {
    const tables = threads.flatMap(({ collections }) => collections.get(name) ?? []);
    return [name, sumMethods(tables.map((methods) => ({ methods })))];
  });
}

/** The calls of all threads together, by method in the order of their names. */
export function sumMethods(threads: readonly Pick<ThreadFigures, "methods">[]): [string, MethodFigures][] {
  const sums = new Map<string, MethodFigures>();
  for (const { methods } of threads) {
    for (const [method, figures] of methods) {
      const sum = sums.get(method) ?? new MethodFigures();
      sums.set(method, sum);
      sum.inFlight += figures.inFlight;
      sum.count += figures.count;
      sum.secondsTotal += figures.secondsTotal;
      sum.secondsMin = Math.min(sum.secondsMin, figures.secondsMin);
      sum.secondsMax = Math.max(sum.secondsMax, figures.secondsMax);
      for (const [code, calls] of figures.codes) sum.codes.set(code, (sum.codes.get(code) ?? 0) + calls);
      figures.buckets.forEach((calls, i) => {
        sum.buckets[i] = (sum.buckets[i] ?? 0) + calls;
      });
    }
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
}
