/** Qdrant's /issues: what slows searches down, each with the request that would mend it. */
import type { FastifyInstance } from "fastify";
import { type FieldIndexType, mayRead, requireManage } from "../../core/index.ts";
import type { Issue, IssueBook } from "../../engine/index.ts";
import type { StateRoute, StateServing } from "./server-state.ts";

export const issueRoutes: readonly StateRoute[] = [
  { method: "GET", url: "/issues", summary: "Fields without an index that slow searches ask for" },
  { method: "DELETE", url: "/issues", summary: "Forget all issues" },
];

const json = "application/json";

export function serveIssueRoutes(app: FastifyInstance, book: IssueBook, { accessOf, ok }: StateServing): void {
  app.get("/issues", async (request, reply) => {
    const access = accessOf(request);
    const issues = book.all().filter(({ collection }) => mayRead(access, collection));
    return reply.type(json).send(ok(request, JSON.stringify({ issues: issues.map(shown) })));
  });
  app.delete("/issues", async (request, reply) => {
    requireManage(accessOf(request));
    book.clear();
    return reply.type(json).send(ok(request, "true"));
  });
}

/** The texts are Qdrant's. */
function shown(issue: Issue): object {
  const { collection, key, types, sinceMs } = issue;
  const solutions = types.map((type) => solution(issue, type));
  const [only] = solutions;
  return {
    id: `UNINDEXED_FIELD/${collection}/${key}`,
    description: `Unindexed field '${key}' might be slowing queries down in collection '${collection}'`,
    solution: solutions.length === 1 ? { immediate: only } : { immediate_choice: solutions },
    timestamp: new Date(sinceMs).toISOString(),
    related_collection: collection,
  };
}

function solution({ collection, key }: Issue, type: FieldIndexType): object {
  const docs = "https://qdrant.tech/documentation/concepts/indexing/#payload-index";
  return {
    message: `Create an index on field '${key}' of schema "${type}" in collection '${collection}'. Check the documentation for more details: ${docs}`,
    action: {
      method: "PUT",
      uri: `/collections/${encodeURIComponent(collection)}/index`,
      headers: { "content-type": "application/json" },
      body: { field_name: key, field_schema: type },
    },
  };
}
