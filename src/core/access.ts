/** Who may do what: what a key or a token grants, as Qdrant's role-based access has it. */
import { DomainError } from "./errors.ts";
import type { Filter } from "./filter.ts";

/**
 * `global`: every collection, to read or to manage (create and delete collections, aliases, policies). `collections`: the named ones
 * only. "r" reads; "prw" also writes points; "rw" also changes the collection's payload indexes.
 */
export type Access =
  | { readonly kind: "global"; readonly mode: "read" | "manage" }
  | { readonly kind: "collections"; readonly rules: ReadonlyMap<string, CollectionMode> };

export type CollectionMode = "r" | "prw" | "rw";

/** A token's claim that holds only while a point with these values exists: deleting the point revokes the token. */
export interface ValueExists {
  readonly collection: string;
  readonly filter: Filter;
}

export const fullAccess: Access = { kind: "global", mode: "manage" };
export const readAccess: Access = { kind: "global", mode: "read" };

/** Throws forbidden. */
export function requireManage(access: Access): void {
  if (access.kind === "global" && access.mode === "manage") return;
  throw forbidden("Global manage access is required");
}

/** Throws forbidden. */
export function requireGlobalRead(access: Access): void {
  if (access.kind !== "global") throw forbidden("Global access is required");
}

/** Throws forbidden. The name is the one that the request says, an alias is a name of its own. */
export function requireCollection(access: Access, name: string, needed: CollectionMode): void {
  if (access.kind === "global") {
    if (access.mode === "manage" || needed === "r") return;
    throw forbidden("Global manage access is required");
  }
  const granted = access.rules.get(name);
  if (granted === undefined) throw forbidden(`Access to collection ${name} is required`);
  if (ranks[granted] < ranks[needed]) throw forbidden(`Write access to collection ${name} is required`);
}

/** Of the collection as a whole, which its snapshots are: whoever may change points only may not have them. Throws forbidden. */
export function requireWhole(access: Access, name: string, needed: "r" | "rw"): void {
  requireCollection(access, name, needed);
  if (access.kind === "collections" && access.rules.get(name) === "prw") {
    throw forbidden(`Access to the whole collection ${name} is required`);
  }
}

export function mayRead(access: Access, name: string): boolean {
  return access.kind === "global" || access.rules.has(name);
}

const ranks: Readonly<Record<CollectionMode, number>> = { r: 0, prw: 1, rw: 2 };

function forbidden(message: string): DomainError {
  return new DomainError("forbidden", `Forbidden: ${message}`);
}
