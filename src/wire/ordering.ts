/** Qdrant's write ordering. One node orders all writes of a collection, so every type is kept; an unknown one is refused as Qdrant does. */
import { type WriteOrdering, WriteOrderingType } from "../../gen/qdrant/points_pb.js";
import { badInput } from "../core/index.ts";

export function checkOrdering(ordering: WriteOrdering | undefined): void {
  if (ordering === undefined || WriteOrderingType[ordering.type] !== undefined) return;
  throw badInput(`cannot convert ordering: ${ordering.type}`, "ordering.type");
}
