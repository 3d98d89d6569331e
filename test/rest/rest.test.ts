/** The REST door against the server as a process: shapes, codes, exact numbers, keys, sealing, packing, bounds, and the document of its routes. */
import { gunzipSync, gzipSync } from "node:zlib";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generateKey } from "../../clients/typescript/src/index.ts";
import { routes } from "../../src/api/rest/routes.ts";
import { addonBuilt, ServerProcess } from "../e2e/server-process.ts";

const keys = { main: "the-main-key-of-this-test", reader: "the-readers-key-of-it" };

let server: ServerProcess;
beforeAll(async () => {
  if (!addonBuilt) return;
  const env = { SEALPOINT_API_KEY: keys.main, SEALPOINT_READ_ONLY_API_KEY: keys.reader, SEALPOINT_JWT_RBAC: "1" };
  server = await ServerProcess.start({ logLevel: "warn", env });
});
afterAll(async () => {
  await server?.stop();
});

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into, member by member
type Loose = any;

interface Answer {
  readonly code: number;
  readonly text: string;
  readonly headers: Headers;
  readonly result: Loose;
  readonly error: string;
}

/** `body`: an object, or the JSON text where its numbers matter. */
async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const answer = await server.rest(method, path, body, {
    "api-key": keys.main,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...headers,
  });
  return { ...answer, result: answer.json.result, error: answer.json.status?.error ?? "" };
}

let made = 0;
async function collection(config: object = {}): Promise<string> {
  const name = `rest-${++made}`;
  const { result } = await call("PUT", `/collections/${name}`, { vectors: { size: 2, distance: "Dot" }, ...config });
  expect(result).toBe(true);
  return name;
}
const put = (name: string, points: unknown, headers?: Record<string, string>) =>
  call("PUT", `/collections/${name}/points?wait=true`, typeof points === "string" ? points : { points }, headers);

describe.skipIf(!addonBuilt)("the REST door", () => {
  test("keeps all 64 bits of ids and integers, and doubles as doubles", async () => {
    const name = await collection();
    const written = await put(
      name,
      '{"points":[{"id":18446744073709551615,"vector":[1.0,0.1],"payload":{"i":9223372036854775807,"d":1.0,"e":1e3,"n":7,"big":18446744073709551615,"t":"\\u00e9\\n\\"1.0"}}]}',
    );
    expect(written).toMatchObject({ code: 200, result: { status: "completed" } });
    const got = await call("POST", `/collections/${name}/points`, '{"ids":[18446744073709551615],"with_vector":true}');
    expect(got.text).toContain('"id":18446744073709551615');
    expect(got.text).toContain(
      '"payload":{"i":9223372036854775807,"d":1.0,"e":1000.0,"n":7,"big":18446744073709552000.0,"t":"é\\n\\"1.0"}',
    );
    expect(got.text).toContain('"vector":[1.0,0.1]');
    const filter = '{"filter":{"must":{"key":"i","match":{"value":9223372036854775807}}}}';
    expect((await call("POST", `/collections/${name}/points/count`, filter)).result).toEqual({ count: 1 });
    const one = await call("GET", `/collections/${name}/points/18446744073709551615`);
    expect(one.text).toContain('"id":18446744073709551615');
    expect(await call("GET", `/collections/${name}/points/5`)).toMatchObject({
      code: 404,
      error: "Not found: Point with id 5 does not exists!",
    });
  });

  test("answers with Qdrant's codes and texts", async () => {
    const name = await collection();
    const base = `/collections/${name}`;
    const nowhere = { code: 404, error: "Not found: Collection `nowhere` doesn't exist!" };
    expect(await call("GET", "/collections/nowhere")).toMatchObject(nowhere);
    expect(await call("POST", "/collections/nowhere/points/query", { query: [1, 2] })).toMatchObject(nowhere);
    const again = await call("PUT", base, { vectors: { size: 2, distance: "Dot" } });
    expect(again).toMatchObject({ code: 409, error: `Wrong input: Collection \`${name}\` already exists!` });
    expect(again.text).not.toContain('"result"');
    const zero = await call("POST", `${base}/points/query`, { query: [1, 2], limit: 0 });
    expect(zero.code).toBe(422);
    expect(zero.error).toMatch(/^Validation error in JSON body: \[.*limit: value 0 invalid, must be 1 or larger\]$/);
    for (const [body, said] of [
      ["", "EOF while parsing a value"],
      ["{", "Format error in JSON body: "],
      ['{"limit":"x"}', "limit: invalid type: string, expected usize"],
      ['{"limit":-1}', "limit: invalid value: integer out of range"],
      ['{"filter":{"muss":[]}}', "unknown field `muss`, expected one of `should`, `min_should`, `must`, `must_not`"],
      ['{"query":{"fusion":"xyz"}}', "query.fusion: unknown variant, expected one of `rrf`, `dbsf`"],
    ] as const) {
      const { code, error } = await call("POST", `${base}/points/query`, body);
      expect([code, error.startsWith("Format error in JSON body: "), error.includes(said)], error).toEqual([
        400,
        true,
        true,
      ]);
    }
    expect(await put(name, [{ id: 1, vector: [1] }])).toMatchObject({
      code: 400,
      error: expect.stringContaining("Vector dimension error: expected dim: 2, got 1"),
    });
    expect((await put(name, [{ id: -1, vector: [1, 2] }])).code).toBe(400);
    expect((await call("PUT", "/collections/x", { vectors: { size: 2, distance: "Sine" } })).error).toContain(
      "vectors.distance: unknown variant, expected one of `Cosine`, `Euclid`, `Dot`, `Manhattan`",
    );
    expect((await call("PUT", "/collections/x", { vectors: { size: 0, distance: "Dot" } })).code).toBe(422);
    expect((await call("GET", "/nowhere")).code).toBe(404);
    expect((await call("DELETE", "/collections")).code).toBe(405);
    expect((await call("PUT", `${base}/points?wait=maybe`, { points: [] })).error).toContain(
      "Format error in query parameters",
    );
    const deep = `{"filter":${'{"must":'.repeat(400)}{}${"}".repeat(400)}}`;
    expect(await call("POST", `${base}/points/count`, deep)).toMatchObject({
      code: 400,
      error: expect.stringContaining("recursion limit"),
    });
  });

  test("takes points in columns, conditions alone, batches and every selector", async () => {
    const name = await collection();
    const base = `/collections/${name}`;
    const batch = {
      ids: [1, 2, 3],
      vectors: [
        [1, 0],
        [2, 0],
        [3, 0],
      ],
      payloads: [{ a: 1, b: "x" }, null, { a: 3 }],
    };
    expect((await call("PUT", `${base}/points?wait=true`, { batch })).code).toBe(200);
    expect((await call("PUT", `${base}/points`, { batch: { ...batch, ids: [1] } })).code).toBe(400);
    const search = await call("POST", `${base}/points/search`, { vector: [1, 0], limit: 3, with_payload: ["a"] });
    expect(search.result).toEqual([
      { id: 3, version: expect.any(Number), score: 3, payload: { a: 3 } },
      { id: 2, version: expect.any(Number), score: 2, payload: {} },
      { id: 1, version: expect.any(Number), score: 1, payload: { a: 1 } },
    ]);
    const filter = { must: { key: "a", range: { gte: 2 } } };
    const query = await call("POST", `${base}/points/query/batch`, {
      searches: [
        { query: [1, 0], filter },
        { query: 3, with_payload: true },
      ],
    });
    expect(query.result.map(({ points }: Loose) => points.map(({ id }: Loose) => id))).toEqual([[3], [2, 1]]);
    expect(query.result[0].points[0]).not.toHaveProperty("payload");
    const scroll = await call("POST", `${base}/points/scroll`, { limit: 2, with_payload: { exclude: ["b"] } });
    expect(scroll.result).toEqual({
      points: [
        { id: 1, payload: { a: 1 } },
        { id: 2, payload: {} },
      ],
      next_page_offset: 3,
    });
    const operations = [
      { upsert: { points: [{ id: 9, vector: [9, 0], payload: { a: 9 } }] } },
      { set_payload: { payload: { set: true }, points: [9] } },
      { delete_payload: { keys: ["a"], filter: { must: [{ key: "a", match: { value: 1 } }] } } },
      { delete: { points: [2] } },
    ];
    const updated = await call("POST", `${base}/points/batch?wait=true`, { operations });
    expect(updated.result.map(({ status }: Loose) => status)).toEqual(Array(4).fill("completed"));
    const all = await call("POST", `${base}/points/scroll`, {});
    expect(all.result.points).toEqual([
      { id: 1, payload: { b: "x" } },
      { id: 3, payload: { a: 3 } },
      { id: 9, payload: { a: 9, set: true } },
    ]);
    expect((await call("POST", `${base}/points/payload`, { payload: { a: 1 } })).error).toContain(
      "Either list of point ids or filter",
    );
    const groups = await call("POST", `${base}/points/query/groups`, {
      query: [1, 0],
      group_by: "a",
      with_payload: true,
    });
    expect(groups.result.groups.map(({ id, hits }: Loose) => [id, hits.length])).toEqual([
      [9, 1],
      [3, 1],
    ]);
    await call("PUT", `${base}/index?wait=true`, {
      field_name: "a",
      field_schema: { type: "integer", lookup: true, range: false },
    });
    expect((await call("GET", base)).result.payload_schema.a).toMatchObject({
      data_type: "integer",
      points: 2,
      params: { type: "integer", lookup: true, range: false },
    });
  });

  test("lets each caller do what his key allows", async () => {
    const [mine, other] = [await collection(), await collection()];
    expect((await call("GET", "/collections", undefined, { "api-key": "wrong-key-altogether" })).code).toBe(401);
    const none = await fetch(`http://127.0.0.1:${server.httpPort}/collections`);
    expect([none.status, await none.text()]).toEqual([401, "Must provide an API key or an Authorization bearer token"]);
    const reader = { "api-key": keys.reader };
    expect((await call("GET", `/collections/${mine}`, undefined, reader)).code).toBe(200);
    expect(
      await call("PUT", `/collections/${mine}/points`, { points: [{ id: 1, vector: [1, 2] }] }, reader),
    ).toMatchObject({
      code: 403,
      error: "Forbidden: Global manage access is required",
    });
    const token = await new SignJWT({
      access: [{ collection: mine, access: "rw" }],
      exp: Math.floor(Date.now() / 1000) + 600,
    })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .sign(new TextEncoder().encode(keys.main));
    const bearer = { "api-key": token };
    expect(
      (await call("PUT", `/collections/${mine}/points?wait=true`, { points: [{ id: 1, vector: [1, 2] }] }, bearer))
        .code,
    ).toBe(200);
    expect((await call("GET", `/collections/${other}`, undefined, bearer)).code).toBe(403);
    expect((await call("GET", "/metrics", undefined, bearer)).code).toBe(403);
    expect((await call("GET", "/healthz", undefined, { "api-key": "" })).code).toBe(200);
    const preflight = await fetch(`http://127.0.0.1:${server.httpPort}/collections`, {
      method: "OPTIONS",
      headers: { origin: "http://page.test", "access-control-request-method": "PUT" },
    });
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
  });

  test("seals what brings a key, by field and by header", async () => {
    const secret = "a plain text nobody may read";
    const { publicKey } = generateKey();
    const key = Buffer.from(publicKey.spki).toString("base64");
    const name = await collection({ sealing: { mode: "required", clear_fields: ["city"] } });
    expect((await call("GET", `/collections/${name}`)).result.sealing.policy).toMatchObject({
      mode: "required",
      clear_fields: ["city"],
    });
    const point = (id: number) => ({ id, vector: [1, id], payload: { city: "Oslo", secret } });
    expect(await put(name, [point(1)])).toMatchObject({ code: 412, error: expect.stringMatching(/public_key|key/) });
    expect((await put(name, [{ ...point(1), public_key: key }])).code).toBe(200);
    expect((await put(name, [point(2)], { "x-seal-public-key": key })).code).toBe(200);
    const got = await call("POST", `/collections/${name}/points/query`, { query: [1, 0], with_payload: true });
    expect(got.text).not.toContain(secret);
    expect(got.result.points).toHaveLength(2);
    for (const { payload } of got.result.points) {
      expect(payload).toEqual({
        city: "Oslo",
        $sealpoint: [
          expect.objectContaining({ version: 1, kid: expect.any(String), encrypted_data: expect.any(String) }),
        ],
      });
    }
    const mixed = await collection();
    await put(mixed, [
      { id: 1, vector: [1, 2], payload: { n: 1 } },
      { id: 2, vector: [1, 2], payload: { n: 1 }, public_key: key },
    ]);
    const counted = await call("POST", `/collections/${mixed}/points/count`, {
      filter: { must: [{ key: "n", match: { value: 1 } }] },
    });
    expect([counted.result.count, counted.headers.get("x-sealpoint-sealed-skipped")]).toEqual([1, "1"]);
    expect(server.log).not.toContain(secret);
  });

  test("reads and writes gzip, reads large bodies elsewhere and refuses what is too large", {
    timeout: 60_000,
  }, async () => {
    const name = await collection();
    const points = Array.from({ length: 8_000 }, (_, id) => ({
      id,
      vector: [id, 0.5],
      payload: { text: `point ${id} ${"x".repeat(40)}` },
    }));
    const packed = gzipSync(JSON.stringify({ points }));
    expect(
      (await call("PUT", `/collections/${name}/points?wait=true`, packed, { "content-encoding": "gzip" })).code,
    ).toBe(200);
    expect((await call("POST", `/collections/${name}/points/count`, {})).result.count).toBe(8_000);
    const bad = JSON.stringify({ points: [...points, { id: "nope", vector: [1, 2] }] });
    expect(await put(name, bad)).toMatchObject({ code: 400, error: expect.stringContaining("Unable to parse UUID") });
    const broken = Buffer.concat([packed.subarray(0, 400), Buffer.alloc(50, 7)]);
    expect((await call("PUT", `/collections/${name}/points`, broken, { "content-encoding": "gzip" })).code).toBe(400);
    const answer = await fetch(`http://127.0.0.1:${server.httpPort}/collections/${name}/points/scroll`, {
      method: "POST",
      headers: { "api-key": keys.main, "accept-encoding": "gzip" },
      body: JSON.stringify({ limit: 500 }),
    });
    expect(answer.headers.get("content-encoding")).toBe("gzip");
    expect(((await answer.json()) as Loose).result.points).toHaveLength(500);
    const bomb = gzipSync(Buffer.alloc(40 * 1024 * 1024, 0x20));
    expect((await call("PUT", `/collections/${name}/points`, bomb, { "content-encoding": "gzip" })).code).toBe(413);
    expect(gunzipSync(packed).length).toBeGreaterThan(256 * 1024);
  });

  test("downloads, uploads and recovers snapshots", async () => {
    const name = await collection();
    await put(name, [{ id: 1, vector: [1, 2], payload: { a: 1 } }]);
    const { result: snapshot } = await call("POST", `/collections/${name}/snapshots`);
    expect(snapshot).toMatchObject({ name: expect.stringContaining(name), size: expect.any(Number) });
    expect((await call("GET", `/collections/${name}/snapshots`)).result).toEqual([snapshot]);
    const file = `http://127.0.0.1:${server.httpPort}/collections/${name}/snapshots/${snapshot.name}`;
    const headers = { "api-key": keys.main };
    const bytes = await (await fetch(file, { headers })).bytes();
    expect(bytes.length).toBe(snapshot.size);
    const form = new FormData();
    form.append("snapshot", new Blob([bytes]), snapshot.name);
    const upload = `http://127.0.0.1:${server.httpPort}/collections/rest-uploaded/snapshots/upload`;
    const uploaded = await fetch(`${upload}?checksum=${snapshot.checksum}`, { method: "POST", headers, body: form });
    expect(await uploaded.json()).toMatchObject({ result: true });
    expect((await call("POST", "/collections/rest-uploaded/points/count", {})).result.count).toBe(1);
    expect((await call("POST", `/collections/${name}/snapshots/upload`)).code).toBe(400);
    const recovery = { location: file, api_key: keys.main, checksum: snapshot.checksum };
    expect((await call("PUT", "/collections/rest-recovered/snapshots/recover", recovery)).result).toBe(true);
    const got = await call("POST", "/collections/rest-recovered/points", { ids: [1] });
    expect(got.result).toEqual([{ id: 1, payload: { a: 1 } }]);
    const reader = { "api-key": keys.reader };
    expect((await call("PUT", "/collections/x/snapshots/recover", recovery, reader)).code).toBe(403);
    expect((await call("GET", `/collections/${name}/snapshots/none.snapshot`)).code).toBe(404);
    expect((await call("DELETE", `/collections/${name}/snapshots/${snapshot.name}`)).result).toBe(true);
  });

  test("documents every route, and serves every documented one", async () => {
    const document = JSON.parse((await call("GET", "/openapi.json")).text);
    const documented = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    for (const { method, url } of routes) expect(documented).toContain(`${method} ${url.replace(/:(\w+)/g, "{$1}")}`);
    const references = JSON.stringify(document).match(/#\/components\/schemas\/\w+/g) ?? [];
    for (const reference of new Set(references))
      expect(document.components.schemas).toHaveProperty(reference.split("/").at(-1) as string);
    for (const one of documented) {
      const [method = "", path = ""] = one.split(" ");
      const { code, text } = await call(
        method,
        path.replace(/\{\w+\}/g, "1"),
        method === "GET" || method === "DELETE" ? undefined : {},
      );
      // Without a portal that is what this one has to say.
      if (path === "/healthz/s5") expect(code).toBe(503);
      else expect(code, `${one}: ${text}`).toBeLessThan(500);
      expect(text, one).not.toContain("is not served here");
    }
    expect(documented.length).toBeGreaterThan(50);
  });
});
