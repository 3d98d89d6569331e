/**
 * The progress of S5's loads as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): each event has its kind as its
 * name and its JSON as its data. What fails before the first event is an HTTP error like any other.
 */
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { DomainError, limits } from "../../core/index.ts";
import { readS5Event } from "../../wire/index.ts";
import type { Bodies } from "./bodies.ts";
import { RestCall, type RestStreams } from "./call.ts";
import { notOffered, toFailure } from "./errors.ts";

export const s5StreamRoutes = [
  {
    method: "POST",
    url: "/sealpoint/v1/s5/load",
    rpc: "Load",
    request: "s5Load",
    summary: "Load an S5 database, as server-sent events",
  },
  {
    method: "POST",
    url: "/sealpoint/v1/s5/watch",
    rpc: "Watch",
    request: "s5Watch",
    summary: "Watch a load, as server-sent events",
  },
  {
    method: "POST",
    url: "/sealpoint/v1/s5/refresh",
    rpc: "Refresh",
    request: "s5Refresh",
    summary: "Refresh an S5 session, as server-sent events",
  },
] as const;

export interface S5StreamOptions {
  readonly streamsFor: (request: FastifyRequest) => RestStreams;
  readonly bodies: Bodies;
  readonly log: Logger;
  readonly draining: AbortSignal;
}

export function serveS5Streams(app: FastifyInstance, { streamsFor, bodies, log, draining }: S5StreamOptions): void {
  for (const { method, url, rpc, request: name } of s5StreamRoutes) {
    const path = `/sealpoint.v1.S5/${rpc}`;
    app.route({
      method,
      url,
      handler: async (request, reply) => {
        const call = new RestCall(path, request, reply, log, draining);
        const encoded = await bodies.encode(
          name,
          { path: {}, query: {} },
          (request.body as Buffer | undefined) ?? Buffer.alloc(0),
        );
        const handle = streamsFor(request).get(path);
        if (handle === undefined) throw notOffered(path);
        const events = handle(encoded.bytes, call)[Symbol.asyncIterator]();
        const first = await firstOf(events);
        return send(reply, Readable.from(toLines(first, events, request.id, log, draining), { objectMode: false }));
      },
    });
  }
}

interface Event {
  readonly name: string;
  readonly data: string;
}

/** An error that comes first is thrown, so that it has an HTTP status. */
async function firstOf(events: AsyncIterator<Uint8Array>): Promise<Event | undefined> {
  const { value, done } = await events.next();
  if (done === true) return undefined;
  const event = readS5Event(value);
  if (event.name === "loading_error") await events.next();
  return event;
}

function send(reply: FastifyReply, stream: Readable): FastifyReply {
  return (
    reply
      .type("text/event-stream; charset=utf-8")
      .header("cache-control", "no-store")
      // Nginx would keep events back to send them together.
      .header("x-accel-buffering", "no")
      .send(stream)
  );
}

/** A comment now and then keeps proxies from closing a quiet connection. */
async function* toLines(
  first: Event | undefined,
  events: AsyncIterator<Uint8Array>,
  requestId: string,
  log: Logger,
  draining: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  let tick: NodeJS.Timeout | undefined;
  let count = 0;
  let failed = false;
  const lineOf = ({ name, data }: Event): string => `id: ${++count}\nevent: ${name}\ndata: ${data}\n\n`;
  try {
    if (first === undefined) return;
    yield lineOf(first);
    for (let next = events.next(); ; ) {
      const quiet = new Promise<"quiet">((resolve) => {
        tick = setTimeout(() => resolve("quiet"), limits.s5EventQuietMs);
      });
      const told = await Promise.race([next, quiet]);
      clearTimeout(tick);
      if (told === "quiet") {
        if (draining.aborted) throw new DomainError("unavailable", "the server is shutting down");
        yield ": still here\n\n";
        continue;
      }
      if (told.done === true) return;
      const event = readS5Event(told.value);
      failed ||= event.name === "loading_error";
      yield lineOf(event);
      next = events.next();
    }
  } catch (error) {
    // The event before it has said why.
    if (failed) return;
    const { message, reason } = toFailure(error, requestId, log);
    yield lineOf({
      name: "error",
      data: JSON.stringify({ message, ...(reason === undefined ? {} : { code: reason }) }),
    });
  } finally {
    clearTimeout(tick);
    await events.return?.();
  }
}
