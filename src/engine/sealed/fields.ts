/** Which payload fields a filter asks for, and which of them a policy leaves readable. */
import { type Condition, DomainError, type Filter, sealedKey } from "../../core/index.ts";

/** The top-level key of a JSON path: `a` of `a.b` and `a[].b`, `a.b` of `"a.b".c`. */
export function rootKey(path: string): string {
  if (path.startsWith('"')) {
    const end = path.indexOf('"', 1);
    return end < 0 ? path : path.slice(1, end);
  }
  const end = path.search(/[.[]/);
  return end < 0 ? path : path.slice(0, end);
}

/** The first JSON path of the filter that is outside `clear`; undefined when there is none. */
export function sealedPath(filter: Filter, clear: ReadonlySet<string>): string | undefined {
  for (const conditions of [filter.must, filter.should, filter.mustNot, filter.minShould?.conditions ?? []]) {
    for (const condition of conditions) {
      const path = conditionPath(condition, clear);
      if (path !== undefined) return path;
    }
  }
  return undefined;
}

function conditionPath(condition: Condition, clear: ReadonlySet<string>): string | undefined {
  switch (condition.kind) {
    case "has_id":
    case "has_vector":
    case "slice":
      return undefined;
    case "filter":
      return sealedPath(condition.filter, clear);
    default:
      // The keys inside `nested` are relative to its own key, which so decides alone.
      return clear.has(rootKey(condition.key)) ? undefined : condition.key;
  }
}

export function fieldIsSealed(path: string): DomainError {
  const shown = path.slice(0, 200);
  const advice =
    rootKey(path) === sealedKey ? "envelopes cannot be asked for" : "add it to clear_fields to filter or index it";
  return new DomainError(
    "precondition",
    `The collection requires sealing and its field \`${shown}\` is not among clear_fields: ${advice}`,
    {
      details: { reason: "SealedField", field: shown },
    },
  );
}
