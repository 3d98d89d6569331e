/** S5's figures for /metrics. The names are those that S5's other tools use. */
import type { Metrics } from "../../ops/index.ts";
import type { S5Figures, S5Hub } from "../../s5/index.ts";

type Count = readonly [name: string, help: string, read: (figures: S5Figures) => number];

const counts: readonly Count[] = [
  ["s5_vectors_loaded_total", "Vectors downloaded from S5 and loaded.", (figures) => figures.vectors],
  ["vector_index_cache_hits_total", "Loads that found their database open or cached.", (figures) => figures.cacheHits],
  ["vector_index_cache_misses_total", "Loads that did not.", (figures) => figures.cacheMisses],
  [
    "vector_index_cache_evictions_total",
    "Databases that left the cache for others, or for their age.",
    (figures) => figures.evictions,
  ],
  ["vector_loading_success_total", "Loads that ended well.", (figures) => figures.successes],
  ["vector_loading_timeout_total", "Loads that took too long.", (figures) => figures.timeouts],
];

export function addS5Metrics(metrics: Metrics, hub: S5Hub): void {
  const { figures } = hub;
  for (const [name, help, read] of counts) metrics.addCounter(name, help, async () => read(figures));
  metrics.addHistogram("s5_download_duration_seconds", "Time of one file's download.", figures.downloads);
  metrics.addHistogram("vector_index_build_duration_seconds", "Time of building a graph.", figures.builds);
  metrics.addCounters("s5_download_errors_total", "Attempts to download a file that failed.", () =>
    [...figures.downloadErrors].map(([reason, value]) => ({ labels: { reason }, value })),
  );
  metrics.addCounters("vector_loading_failure_total", "Loads that failed, those that took too long included.", () =>
    [...figures.failures].map(([code, value]) => ({ labels: { code }, value })),
  );
  metrics.addGauge("s5_sessions", "S5 sessions that are open.", () => hub.sessions);
  metrics.addGauge("vector_index_cache_databases", "S5 databases that are open or cached.", () => hub.databases);
  metrics.addGauge("vector_index_cache_bytes", "Memory of S5 databases and uploads.", () => hub.bytes);
  metrics.addGauges("s5_portal_up", "Whether a portal answers; asked once in five seconds at most.", async () =>
    (await hub.health()).map(({ portal, reachable }) => ({ labels: { portal }, value: reachable ? 1 : 0 })),
  );
}
