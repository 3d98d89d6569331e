/** What /metrics shows of S5: plain counts, kept where the loads run. */
import { Durations } from "../ops/index.ts";
import { type LoadErrorCode, loadErrorTraits } from "./errors.ts";
import { type DownloadFailure, downloadFailures, type PortalFigures } from "./portals.ts";

const steps = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

export class S5Figures implements PortalFigures {
  readonly downloads = new Durations(steps);
  readonly builds = new Durations(steps);
  /** Each is there from the start: what Prometheus has not seen at 0 has no first increase. */
  readonly downloadErrors = new Map<DownloadFailure, number>(downloadFailures.map((failure) => [failure, 0]));
  readonly failures = new Map<LoadErrorCode | "CANCELLED" | "OTHER", number>(
    [...(Object.keys(loadErrorTraits) as LoadErrorCode[]), "CANCELLED" as const, "OTHER" as const].map((code) => [
      code,
      0,
    ]),
  );
  successes = 0;
  timeouts = 0;
  vectors = 0;
  cacheHits = 0;
  cacheMisses = 0;
  evictions = 0;

  onDownload(seconds: number): void {
    this.downloads.observe(seconds);
  }

  onError(failure: DownloadFailure): void {
    this.downloadErrors.set(failure, (this.downloadErrors.get(failure) ?? 0) + 1);
  }

  onFailure(code: LoadErrorCode | "CANCELLED" | "OTHER"): void {
    if (code === "TIMEOUT") this.timeouts++;
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
  }
}
