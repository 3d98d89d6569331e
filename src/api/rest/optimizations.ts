/** GET /collections/{c}/optimizations in Qdrant's shape: a graph that is being built, and what waits for one. */
import type { FastifyRequest } from "fastify";
import { badInput, type CollectionInfo } from "../../core/index.ts";

const parts = ["queued", "completed", "idle_segments"] as const;
export type OptimizationPart = (typeof parts)[number];

/** What `with` names, comma by comma. */
export function optimizationParts(request: FastifyRequest): ReadonlySet<OptimizationPart> {
  const { with: given = "" } = request.query as { readonly with?: string | readonly string[] };
  const asked = [given]
    .flat()
    .flatMap((list) => list.split(","))
    .map((part) => part.trim());
  const known = new Set<OptimizationPart>();
  for (const name of asked) {
    if (name === "") continue;
    const part = parts.find((one) => one === name);
    if (part === undefined) {
      const expected = parts.map((one) => `\`${one}\``).join(", ");
      throw badInput(
        `Format error in query parameters: unknown field in \`with\`, expected one of ${expected}`,
        "with",
      );
    }
    known.add(part);
  }
  return known;
}

/** Points are told for all segments together, since that is how they are counted; no log of builds is kept. */
export function optimizationsOf(info: CollectionInfo, asked: ReadonlySet<OptimizationPart>): object {
  const { status, pointsCount, indexedVectorsCount, segmentsCount, sealingId } = info;
  const waiting = status === "yellow" ? Math.max(0, pointsCount - indexedVectorsCount) : 0;
  const uuid = sealingId.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  const queued = waiting === 0 ? [] : [{ optimizer: "indexing", segments: [{ uuid, points_count: waiting }] }];
  const idle = pointsCount - waiting;
  return {
    summary: {
      queued_optimizations: queued.length,
      queued_segments: queued.length,
      queued_points: waiting,
      idle_segments: segmentsCount,
    },
    running: [],
    ...(asked.has("queued") ? { queued } : {}),
    ...(asked.has("completed") ? { completed: [] } : {}),
    ...(asked.has("idle_segments") ? { idle_segments: idle > 0 ? [{ uuid, points_count: idle }] : [] } : {}),
  };
}
