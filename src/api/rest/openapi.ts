/** The document of /openapi.json, made from the table of routes, so that it can name no route that is not there. */
import { apiVersion } from "../../ops/index.ts";
import { restSchemas } from "../../wire/index.ts";
import { type Route, routes } from "./routes.ts";
import { s5StreamRoutes } from "./s5-streams.ts";
import { stateRoutes } from "./server-state.ts";
import { snapshotRoutes } from "./snapshots.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

const text: Json = { type: "string" };
const writes: readonly Json[] = [
  { name: "wait", in: "query", required: false, schema: { type: "boolean" } },
  { name: "ordering", in: "query", required: false, schema: { type: "string", enum: ["weak", "medium", "strong"] } },
];
const consistency: Json = {
  name: "consistency",
  in: "query",
  required: false,
  schema: {
    anyOf: [
      { type: "integer", minimum: 1, maximum: 1_000 },
      { type: "string", enum: ["majority", "quorum", "all"] },
    ],
  },
};
const timeout: Json = {
  name: "timeout",
  in: "query",
  required: false,
  schema: { type: "integer", minimum: 1, maximum: 3_600 },
};

const pointId: Json = {
  anyOf: [
    { type: "integer", minimum: 0 },
    { type: "string", format: "uuid" },
  ],
};

function pathParameters(url: string): Json[] {
  return [...url.matchAll(/:(\w+)/g)].map(
    ([, name = ""]): Json => ({
      name,
      in: "path",
      required: true,
      schema: name === "id" ? pointId : text,
    }),
  );
}

function parameters({ url, answer, tag }: Route): Json[] {
  const path = pathParameters(url);
  if (tag === "Snapshots" || tag === "S5") return path;
  if (answer === "update" || answer === "updates") return [...path, ...writes, timeout];
  return tag === "Points" ? [...path, consistency, timeout] : [...path, timeout];
}

const failure: JsonObject = {
  type: "object",
  required: ["status", "time"],
  properties: {
    status: { type: "object", required: ["error"], properties: { error: text } },
    time: { type: "number" },
  },
};

const answered = (description: string, schema: Json): Json => ({
  description,
  content: { "application/json": { schema } },
});

function operation(route: Route): Json {
  return {
    tags: [route.tag],
    summary: route.summary,
    operationId: `${route.method.toLowerCase()}${route.url.replace(/[^a-zA-Z]+(\w)/g, (_all, first: string) => first.toUpperCase())}`,
    parameters: parameters(route),
    ...(route.body
      ? {
          requestBody: {
            required: true,
            content: { "application/json": { schema: restSchemas.bodies[route.request] ?? { type: "object" } } },
          },
        }
      : {}),
    responses: {
      "200": answered("the result", {
        type: "object",
        required: ["result", "status", "time"],
        properties: { result: {}, status: { type: "string", enum: ["ok"] }, time: { type: "number" } },
      }),
      "4XX": answered("what is wrong with the request", { $ref: "#/components/schemas/Failure" }),
    },
  };
}

export function openApi(): JsonObject {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = route.url.replace(/:(\w+)/g, "{$1}");
    paths[path] ??= {};
    (paths[path] as Record<string, Json>)[route.method.toLowerCase()] = operation(route);
  }
  for (const { method, url, summary, tag } of [
    ...snapshotRoutes.map((route) => ({ ...route, tag: "Snapshots" })),
    ...s5StreamRoutes.map((route) => ({ ...route, tag: "S5" })),
  ]) {
    const path = url.replace(/:(\w+)/g, "{$1}");
    paths[path] ??= {};
    const [operationId, inPath] = [summary.replace(/\W+/g, ""), pathParameters(url)];
    const responses: Json = { "200": { description: "the answer" } };
    (paths[path] as Record<string, Json>)[method.toLowerCase()] = {
      tags: [tag],
      summary,
      operationId,
      parameters: inPath,
      responses,
    };
  }
  for (const { method, url, summary } of stateRoutes) {
    const path = url.replace(/:(\w+)/g, "{$1}");
    paths[path] ??= {};
    const name = url.replace(/[^a-zA-Z]+(\w)/g, (_all, first: string) => first.toUpperCase());
    const responses: Json = {
      "200": { description: "the answer" },
      "4XX": answered("what is wrong with the request", { $ref: "#/components/schemas/Failure" }),
    };
    (paths[path] as Record<string, Json>)[method.toLowerCase()] = {
      tags: ["Service"],
      summary,
      operationId: `${method.toLowerCase()}${name}`,
      parameters: pathParameters(url),
      responses,
    };
  }
  for (const [path, summary] of [
    ["/", "Name and version"],
    ["/metrics", "Metrics in Prometheus' format"],
    ["/healthz", "Health"],
    ["/healthz/s5", "Whether S5 portals answer; 503 when none does"],
    ["/livez", "Liveness"],
    ["/readyz", "Readiness"],
  ] as const) {
    const mayRefuse = path === "/readyz" || path === "/healthz/s5";
    const responses: Json = {
      "200": { description: "the answer" },
      ...(mayRefuse ? { "503": { description: "not now" } } : {}),
    };
    paths[path] = {
      get: { tags: ["Service"], summary, operationId: `get${path.replace(/\W/g, "") || "root"}`, responses },
    };
  }
  return {
    openapi: "3.0.3",
    info: { title: "Sealpoint: Qdrant's REST API", version: apiVersion, license: { name: "Apache-2.0" } },
    paths,
    components: {
      schemas: { ...restSchemas.components, Failure: failure },
      securitySchemes: {
        "api-key": { type: "apiKey", in: "header", name: "api-key" },
        bearerAuth: { type: "http", scheme: "bearer" },
      },
    },
    security: [{}, { "api-key": [] }, { bearerAuth: [] }],
  };
}
