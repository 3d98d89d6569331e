/** grpc.health.v1: Check and Watch, for the server as a whole ("") and for each of its services. */
import { DomainError } from "../../core/index.ts";
import { type CallContext, type ServiceBinding, serverStream, unary } from "./call.ts";
import { healthService } from "./descriptors.ts";

export const servingStatus = { unknown: 0, serving: 1, notServing: 2, serviceUnknown: 3 } as const;
export type ServingStatus = (typeof servingStatus)[keyof typeof servingStatus];

interface CheckRequest {
  readonly service: string;
}

/** Who serves and who does not; the door's answers and the shutdown both go by it. */
export class HealthRegistry {
  readonly #statuses = new Map<string, ServingStatus>([["", servingStatus.notServing]]);
  readonly #watchers = new Set<() => void>();

  get(service: string): ServingStatus | undefined {
    return this.#statuses.get(service);
  }

  set(service: string, value: ServingStatus): void {
    this.#statuses.set(service, value);
    for (const wake of this.#watchers) wake();
  }

  setAll(value: ServingStatus): void {
    for (const service of this.#statuses.keys()) this.#statuses.set(service, value);
    for (const wake of this.#watchers) wake();
  }

  onChange(wake: () => void): () => void {
    this.#watchers.add(wake);
    return () => this.#watchers.delete(wake);
  }
}

export function createHealthBinding(registry: HealthRegistry): ServiceBinding {
  const check = unary(async (request: CheckRequest) => {
    const value = registry.get(request.service);
    if (value === undefined) {
      throw new DomainError("not_found", `unknown service ${JSON.stringify(request.service)}`, {
        details: { field: "service" },
      });
    }
    return { status: value };
  });
  const watch = serverStream((request: CheckRequest, call) => watchStatus(registry, request.service, call));
  return { service: healthService, table: { check, watch } as unknown as ServiceBinding["table"] };
}

/** The status at once and then each change; an unknown service is no error here, it may come later (health.proto). */
async function* watchStatus(
  registry: HealthRegistry,
  service: string,
  call: CallContext,
): AsyncIterable<{ status: ServingStatus }> {
  let wake: () => void = () => undefined;
  let changed = false;
  const notify = () => {
    changed = true;
    wake();
  };
  const stop = registry.onChange(notify);
  call.draining.addEventListener("abort", notify);
  call.signal.addEventListener("abort", notify);
  try {
    let last: ServingStatus | undefined;
    while (!call.signal.aborted) {
      changed = false;
      const value = registry.get(service) ?? servingStatus.serviceUnknown;
      if (value !== last) yield { status: value };
      last = value;
      if (call.draining.aborted) throw new DomainError("unavailable", "the server is shutting down");
      if (!changed) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    stop();
    call.draining.removeEventListener("abort", notify);
    call.signal.removeEventListener("abort", notify);
  }
}
