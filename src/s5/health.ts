/** Whether the portals can be reached: asked when somebody wants to know, and remembered for a moment, so that scrapes do not become load. */
import type { PortalHealth } from "./backend.ts";
import { getFrom } from "./http-get.ts";

const timeoutMs = 2_000;
const freshMs = 5_000;

export class PortalProbe {
  readonly #urls: readonly string[];
  #last: Promise<readonly PortalHealth[]> | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(urls: readonly string[]) {
    this.#urls = urls;
  }

  ask(): Promise<readonly PortalHealth[]> {
    const now = performance.now();
    if (this.#last === undefined || now - this.#lastMs > freshMs) {
      this.#lastMs = now;
      this.#last = Promise.all(this.#urls.map(probe));
    }
    return this.#last;
  }
}

async function probe(url: string): Promise<PortalHealth> {
  const begun = performance.now();
  let reachable = false;
  try {
    const response = await getFrom(`${url}/health`, AbortSignal.timeout(timeoutMs));
    const { statusCode = 0 } = response;
    reachable = statusCode >= 200 && statusCode < 300;
    response.destroy();
  } catch {
    // Not reachable; why, the loads' own errors tell.
  }
  const latencyMs = Math.round(performance.now() - begun);
  return { portal: new URL(url).origin, reachable, latencyMs, checkedAtMs: Date.now() };
}
