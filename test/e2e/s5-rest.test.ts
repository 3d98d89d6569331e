/** S5 over REST with server-sent events, its metrics, and its settings, of a server process and a portal. */
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { S5 } from "../../gen/sealpoint/v1/s5_pb.js";
import { type Portal, startPortal } from "../../src/s5/index.ts";
import { makeDatabase, makeRecords, owner } from "../s5/database.ts";
import { addonBuilt, type Call, connectTo, ServerProcess } from "./server-process.ts";

interface Sent {
  readonly id: number;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** As the specification of server-sent events reads a stream. */
function parseEvents(text: string): Sent[] {
  return text
    .split("\n\n")
    .filter((block) => block !== "" && !block.startsWith(":"))
    .map((block) => {
      const fields = new Map(
        block.split("\n").map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]),
      );
      return {
        id: Number(fields.get("id")),
        event: fields.get("event") ?? "",
        data: JSON.parse(fields.get("data") ?? "") as Record<string, unknown>,
      };
    });
}

describe.skipIf(!addonBuilt)("S5 over REST", () => {
  const database = makeDatabase();
  const key = Buffer.from(database.key);
  let portal: Portal;
  let server: ServerProcess;
  let client: Call;
  let base: string;

  beforeAll(async () => {
    portal = await startPortal({ dir: database.dir, port: 0 });
    server = await ServerProcess.start({ env: { S5_PORTAL_URL: portal.url, S5_RATE_LIMIT_REQUESTS: "12" } });
    client = connectTo(server.address);
    base = `http://127.0.0.1:${server.httpPort}`;
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
    await portal?.close();
  });

  const ask = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${base}/sealpoint/v1/s5/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return { response, text: await response.text() };
  };
  const result = async (method: string, path: string, body?: unknown) => {
    const { response, text } = await ask(method, path, body);
    expect([response.status, text.slice(0, 200)]).toEqual([200, expect.anything()]);
    return (JSON.parse(text) as { result: Record<string, unknown> }).result;
  };
  const order = (sessionId: string, rest: Record<string, unknown> = {}) => ({
    manifest_path: database.manifestPath,
    user_address: owner,
    session_key: key.toString("base64"),
    session_id: sessionId,
    ...rest,
  });

  test("a load is a stream of events, and its session is asked in JSON", async () => {
    const { response, text } = await ask("POST", "load", order("rest"));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const events = parseEvents(text);
    const names = [
      "manifest_downloaded",
      ...Array(3).fill("chunk_downloaded"),
      "index_building",
      "loading_complete",
      "index_ready",
    ];
    expect(events.map(({ event }) => event)).toEqual(names);
    expect(events.map(({ id }) => id)).toEqual(names.map((_, i) => i + 1));
    expect(events[0]?.data).toMatchObject({ name: "small", chunks: 3, vectors: 45, dimensions: 8 });
    expect(events[3]?.data).toMatchObject({ total: 3, percent: 100, vectors_loaded: 45 });
    expect(events[5]?.data).toMatchObject({ vector_count: 45, from_cache: false, chunks_downloaded: 3 });

    const watched = parseEvents((await ask("POST", "watch", { session_id: "rest" })).text);
    expect(watched).toEqual(events);
    expect(await result("POST", "status", { session_id: "rest" })).toMatchObject({
      loaded: { vector_count: 45, index_ready: true },
    });
    expect(await result("POST", "status", { session_id: "other" })).toEqual({ not_started: {} });

    const vector = makeRecords(1, 8, 7)[0]?.vector;
    const found = await result("POST", "search", { session_id: "rest", vector, k: 2, threshold: 0.1 });
    expect(found).toMatchObject({
      hits: [{ id: "7", metadata: { word: "word 7", n: 7, tags: ["a", 1] } }, {}],
      partial: false,
      percent: 100,
    });

    const records = [
      { id: 1, vector: [1, 0], metadata: { n: 9007199254740991, x: 1.5 } },
      { id: "two", vector: [0, 1] },
    ];
    expect(await result("POST", "upload", { session_id: "mine", vectors: records })).toEqual({ vector_count: 2 });
    expect(await result("POST", "search", { session_id: "mine", vector: [1, 0], k: 1 })).toMatchObject({
      hits: [{ id: "1", score: 1, metadata: { n: 9007199254740991, x: 1.5 } }],
    });
    expect(await result("GET", "list")).toMatchObject({
      sessions: [
        { session_id: "mine", source: "upload", dimensions: 2, status: { loaded: { vector_count: 2 } } },
        { session_id: "rest", source: "load", manifest_path: database.manifestPath },
      ],
      collections: [],
    });
    const refreshed = parseEvents((await ask("POST", "refresh", { session_id: "rest" })).text);
    expect(refreshed.at(-2)?.data).toMatchObject({ from_cache: true, chunks_downloaded: 0 });
    expect(await result("POST", "cancel", { session_id: "rest" })).toEqual({ cancelled: false });
    expect(await result("POST", "close", { session_id: "mine" })).toEqual({ closed: true });
    expect(await result("GET", "health")).toMatchObject({
      reachable: true,
      portals: [{ portal: portal.url, reachable: true }],
    });

    // From the cache, with the key in its other form, and into a collection.
    const again = parseEvents((await ask("POST", "load", order("again", { session_key: key.toString("hex") }))).text);
    expect(again.map(({ event }) => event)).toEqual(["manifest_downloaded", "loading_complete", "index_ready"]);
    const { session_id: _, ...rest } = order("");
    const into = parseEvents((await ask("POST", "load", { ...rest, collection_name: "docs" })).text);
    expect(into.at(-1)?.event).toBe("loading_complete");
    const count = await fetch(`${base}/collections/docs/points/count`, { method: "POST", body: "{}" });
    expect(await count.json()).toMatchObject({ result: { count: 45 } });
    expect(await result("POST", "status", { collection_name: "docs" })).toMatchObject({ loaded: { vector_count: 45 } });
  });

  test("what fails at once has a status and a reason, what fails later is an event", async () => {
    const refusals = [
      [order("x", { session_key: "!" }), 400, null],
      [order("x", { session_key: key.toString("base64").slice(4) }), 400, null],
      [order("x", { sesion: 1 }), 400, null],
      [order("x", { collection_name: "y" }), 400, null],
      [order("x", { manifest_path: "home/../x" }), 400, "INVALID_PATH"],
      [order("x", { user_address: owner.replace(/1$/, "2") }), 403, "OWNER_MISMATCH"],
      [order("x", { manifest_path: database.manifestPath.replace("small", "other") }), 404, "MANIFEST_NOT_FOUND"],
      [order("x", { session_key: Buffer.alloc(32, 1).toString("base64") }), 403, "DECRYPTION_FAILED"],
    ] as const;
    for (const [body, code, reason] of refusals) {
      const { response, text } = await ask("POST", "load", body);
      expect([response.status, response.headers.get("x-sealpoint-reason")]).toEqual([code, reason]);
      expect(JSON.parse(text)).toMatchObject({ status: { error: expect.any(String) } });
      expect(text).not.toContain(key.toString("base64").slice(4, 20));
    }
    database.flip("chunk-2.json");
    const { response, text } = await ask(
      "POST",
      "load",
      order("late", { collection_name: undefined, revalidate: false, session_id: "late" }),
    );
    database.flip("chunk-2.json");
    // The cache had it: its files are not asked for.
    expect(response.status).toBe(200);
    expect(parseEvents(text).at(-1)?.event).toBe("index_ready");
    const missing = await ask("POST", "search", { session_id: "none", vector: [1], k: 1 });
    expect(missing.response.status).toBe(404);
  });

  test("the same over gRPC, with the code in ErrorInfo; then the rate limit", async () => {
    const request = { manifestPath: database.manifestPath, userAddress: owner, sessionKey: Buffer.alloc(32, 2) };
    const told = client.download(S5.method.load, { ...request, target: { case: "sessionId", value: "g" } });
    expect((await told.next())?.event).toMatchObject({ case: "loadingError", value: { code: "DECRYPTION_FAILED" } });
    const error = (await told.next().catch((caught: unknown) => caught)) as ServiceError;
    expect(error.code).toBe(status.PERMISSION_DENIED);
    const details = error.metadata
      .get("grpc-status-details-bin")
      .map((part) => Buffer.from(part).toString("latin1"))
      .join("");
    for (const part of ["google.rpc.ErrorInfo", "DECRYPTION_FAILED", "is_retryable", "is_security"])
      expect(details).toContain(part);
    const state = await client.call(S5.method.status, { target: { case: "sessionId", value: "g" } });
    expect(state.status).toMatchObject({ case: "error", value: { code: "DECRYPTION_FAILED", isSecurity: true } });

    let limited: Awaited<ReturnType<typeof ask>> | undefined;
    for (let i = 0; i < 12 && limited === undefined; i++) {
      const tried = await ask("POST", "load", order(`more-${i}`));
      if (tried.response.status !== 200) limited = tried;
    }
    expect([limited?.response.status, limited?.response.headers.get("x-sealpoint-reason")]).toEqual([
      429,
      "RATE_LIMIT_EXCEEDED",
    ]);
    expect(Number(limited?.response.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  test("metrics and log tell of it, and of no key", async () => {
    const metrics = await (await fetch(`${base}/metrics`)).text();
    const value = (name: string) =>
      Number(new RegExp(`^${name.replace(/[{}"+]/g, "\\$&")} (\\S+)$`, "m").exec(metrics)?.[1]);
    expect(value("s5_vectors_loaded_total")).toBe(90);
    expect(value("vector_index_cache_hits_total")).toBeGreaterThan(1);
    expect(value("vector_index_cache_misses_total")).toBeGreaterThan(1);
    expect(value("vector_loading_success_total")).toBe(2);
    expect(value("vector_loading_timeout_total")).toBe(0);
    expect(value('vector_loading_failure_total{code="DECRYPTION_FAILED"}')).toBe(2);
    expect(value("s5_download_duration_seconds_count")).toBeGreaterThan(7);
    expect(value('s5_download_duration_seconds_bucket{le="+Inf"}')).toBe(value("s5_download_duration_seconds_count"));
    expect(value("vector_index_build_duration_seconds_count")).toBeGreaterThan(0);
    expect(value('s5_download_errors_total{reason="not_found"}')).toBe(1);
    const portals = await fetch(`${base}/healthz/s5`);
    expect([portals.status, await portals.text()]).toEqual([200, "1 of 1 S5 portals answer"]);
    expect(await result("GET", "health")).toMatchObject({
      reachable: true,
      portals: [{ portal: portal.url, reachable: true }],
    });
    expect(metrics).toContain(`s5_portal_up{portal="${portal.url}"} 1`);
    expect(server.log).toContain("S5 configured");
    for (const form of [key.toString("hex"), key.toString("base64")]) expect(server.log.includes(form)).toBe(false);
  });
});
