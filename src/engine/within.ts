/** Writes that may reach some of the points that they choose by id: those that match a filter. */
import { DomainError, type Filter, type PointId } from "../core/index.ts";
import type { Engine, PointsSelector, WriteOperation } from "./engine.ts";

/** Both hold. The conditions of `filter` stay where they were: strict mode looks for tenants among them. */
export function both(filter: Filter | undefined, other: Filter): Filter {
  if (filter === undefined) return other;
  return { ...filter, must: [...filter.must, { kind: "filter", filter: other }] };
}

const ofIds = (ids: readonly PointId[]): Filter => ({ must: [{ kind: "has_id", ids }], should: [], mustNot: [] });

/** The selected points that match. */
export function narrowedSelector(selector: PointsSelector, within: Filter): PointsSelector {
  const filter = both(selector.kind === "ids" ? ofIds(selector.ids) : selector.filter, within);
  return selector.kind === "ids" ? { kind: "filter", filter } : { ...selector, filter };
}

interface Narrowed {
  readonly operation: WriteOperation;
  /** To be thrown once the others are written. */
  readonly missing?: DomainError;
}

/** The write of the points that match `within`, and what is said of the first that does not. Who does not wait hears nothing of it. */
export async function narrowedWrite(
  engine: Pick<Engine, "scroll">,
  name: string,
  given: WriteOperation,
  wait: boolean,
): Promise<Narrowed> {
  const { within, ...operation } = given;
  if (within === undefined) return { operation: given };
  if (operation.kind === "seal_payload") {
    const found = await matching(engine, name, idsOf(given), within);
    const points = operation.points.filter(({ id }) => found.has(id));
    return { operation: { ...operation, points }, ...firstMissing(given, found) };
  }
  // To delete what is missing is no error.
  const asks = wait && operation.kind !== "delete" && idsOf(given).length > 0;
  const missing = asks ? firstMissing(given, await matching(engine, name, idsOf(given), within)) : {};
  if (operation.kind === "update_vectors") {
    const { condition } = operation;
    const narrow = { ...condition, mode: "update_only", filter: both(condition?.filter, within) } as const;
    return { operation: { ...operation, condition: narrow }, ...missing };
  }
  if (operation.kind === "upsert") return { operation };
  return { operation: { ...operation, selector: narrowedSelector(operation.selector, within) }, ...missing };
}

function idsOf(operation: WriteOperation): readonly PointId[] {
  if ("points" in operation) return operation.points.map(({ id }) => id);
  return operation.selector.kind === "ids" ? operation.selector.ids : [];
}

async function matching(
  engine: Pick<Engine, "scroll">,
  name: string,
  ids: readonly PointId[],
  within: Filter,
): Promise<ReadonlySet<PointId>> {
  const none = { kind: "none" } as const;
  const request = { filter: both(ofIds(ids), within), limit: ids.length, payload: none, vectors: none };
  const { points } = await engine.scroll(name, request);
  return new Set(Array.from({ length: points.length }, (_, row) => points.id(row)));
}

function firstMissing(operation: WriteOperation, found: ReadonlySet<PointId>): { readonly missing?: DomainError } {
  const place = idsOf(operation).findIndex((id) => !found.has(id));
  if (place < 0) return {};
  const field = operation.kind === "update_vectors" ? `points[${place}].id` : "points_selector";
  // The text is Qdrant's.
  const text = `Not found: No point with id ${idsOf(operation)[place]} found`;
  return { missing: new DomainError("not_found", text, { details: { field } }) };
}
