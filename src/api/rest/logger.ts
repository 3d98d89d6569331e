/** Qdrant's /logger: the log's settings, shown and changed while the server runs. */
import type { FastifyInstance } from "fastify";
import { badInput, requireGlobalRead, requireManage } from "../../core/index.ts";
import type { LoggerControl } from "../../ops/index.ts";
import { readLoggerChange } from "../../wire/index.ts";
import type { StateRoute, StateServing } from "./server-state.ts";

export const loggerRoutes: readonly StateRoute[] = [
  { method: "GET", url: "/logger", summary: "Settings of the log" },
  { method: "POST", url: "/logger", summary: "Change settings of the log" },
];

const json = "application/json";
const bodyBytesMax = 64 * 1_024;

export function serveLogger(app: FastifyInstance, control: LoggerControl, { accessOf, ok }: StateServing): void {
  app.get("/logger", async (request, reply) => {
    requireGlobalRead(accessOf(request));
    return reply.type(json).send(ok(request, JSON.stringify(control.shown())));
  });
  app.post("/logger", { bodyLimit: bodyBytesMax }, async (request, reply) => {
    requireManage(accessOf(request));
    const body = (request.body as Buffer | undefined) ?? Buffer.alloc(0);
    if (body.length === 0) throw badInput("Format error in JSON body: EOF while parsing a value", "body");
    control.update(readLoggerChange(body.toString("utf8")));
    return reply.type(json).send(ok(request, "true"));
  });
}
