/** Calls of a caller who may not do everything go to service tables of their own, over a guarded engine. */
import type { UntypedHandleCall, UntypedServiceImplementation } from "@grpc/grpc-js";
import { type Access, fullAccess, limits } from "../../core/index.ts";
import { accessOf } from "./credentials.ts";

type Implementations = ReadonlyMap<string, UntypedServiceImplementation>;

export class AccessTables {
  readonly #make: (access: Access) => Implementations;
  readonly #made = new Map<string, Implementations>();

  /** `make` gives the implementations for a caller, by the service's name. */
  constructor(make: (access: Access) => Implementations) {
    this.#make = make;
  }

  /** The implementation that picks the caller's own at each call. */
  guard(service: string, full: UntypedServiceImplementation): UntypedServiceImplementation {
    const guarded: Record<string, UntypedHandleCall> = {};
    for (const [method, handle] of Object.entries(full)) {
      guarded[method] = ((call: Parameters<UntypedHandleCall>[0], respond: never) => {
        const access = accessOf(call.metadata);
        const own = access === fullAccess ? handle : this.#of(access).get(service)?.[method];
        if (own === undefined) throw new Error(`${service}/${method} has no guarded handler`);
        return (own as (...given: unknown[]) => void)(call, respond);
      }) as UntypedHandleCall;
    }
    return guarded;
  }

  #of(access: Access): Implementations {
    const name = JSON.stringify(access.kind === "global" ? access.mode : [...access.rules].sort());
    const found = this.#made.get(name);
    if (found !== undefined) return found;
    const [oldest] = this.#made.keys();
    if (this.#made.size >= limits.guardedTablesMax && oldest !== undefined) this.#made.delete(oldest);
    const made = this.#make(access);
    this.#made.set(name, made);
    return made;
  }
}
