/** Keys and tokens over the wire: what each may do, that the rest is refused with nothing changed, and that a token ends when it should. */
import { status } from "@grpc/grpc-js";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Ingest } from "../../gen/sealpoint/v1/ingest_pb.js";
import { S5 } from "../../gen/sealpoint/v1/s5_pb.js";
import { byIds, dense, integer, keyword, makeCollection, nearest, num, text } from "./messages.ts";
import { addonBuilt, type Call, connectTo, failure, ServerProcess } from "./server-process.ts";

const keys = {
  main: "the-main-key-of-this-test",
  other: "the-other-key-of-this-test",
  reader: "the-readers-key-of-it",
};

let server: ServerProcess;
let manager: Call;
let mine: string;
let foreign: string;
const clients: Call[] = [];

function connect(key: string): Call {
  const client = connectTo(server.address, { "api-key": key });
  clients.push(client);
  return client;
}

function token(claims: Record<string, unknown>, { key = keys.main, expires = 600 } = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({ ...claims, exp: now + expires })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(new TextEncoder().encode(key));
}

const point = (id: number) => ({ id: num(id), vectors: dense(1, 2), payload: { user: text("ada"), age: integer(36) } });

beforeAll(async () => {
  if (!addonBuilt) return;
  server = await ServerProcess.start({
    env: {
      SEALPOINT_API_KEY: keys.main,
      SEALPOINT_ALT_API_KEY: keys.other,
      SEALPOINT_READ_ONLY_API_KEY: keys.reader,
      SEALPOINT_JWT_RBAC: "1",
    },
  });
  manager = connect(keys.main);
  mine = await makeCollection(manager);
  foreign = await makeCollection(manager);
  for (const collectionName of [mine, foreign]) {
    await manager.call(Points.method.upsert, { collectionName, wait: true, points: [point(1), point(2)] });
  }
});
afterAll(async () => {
  for (const client of clients) client.close();
  await server?.stop();
});

const read = (client: Call, collectionName: string) =>
  client.call(Points.method.query, { collectionName, query: nearest(1, 2), limit: 1n });
const write = (client: Call, collectionName: string) =>
  client.call(Points.method.upsert, { collectionName, wait: true, points: [point(1)] });
const index = (client: Call, collectionName: string) =>
  client.call(Points.method.createFieldIndex, { collectionName, fieldName: "user", fieldType: 0, wait: true });
const denied = async (promise: Promise<unknown>): Promise<string> => {
  const { code, details } = await failure(promise);
  expect(code).toBe(status.PERMISSION_DENIED);
  return details;
};

describe.runIf(addonBuilt)("keys", () => {
  test("the second key does all that the first does", async () => {
    const client = connect(keys.other);
    const collectionName = await makeCollection(client);
    expect((await client.call(Collections.method.delete, { collectionName })).result).toBe(true);
  });

  test("the reader's key reads everything and changes nothing", async () => {
    const client = connect(keys.reader);
    expect((await read(client, mine)).result).toHaveLength(1);
    expect((await client.call(Collections.method.list, {})).collections.length).toBeGreaterThanOrEqual(2);
    await denied(write(client, mine));
    await denied(index(client, mine));
    await denied(client.call(Points.method.delete, { collectionName: mine, points: byIds(1) }));
    await denied(client.call(Collections.method.delete, { collectionName: mine }));
    await denied(client.call(Collections.method.updateAliases, { actions: [] }));
    expect((await read(client, mine)).result).toHaveLength(1);
  });

  test("no key, a wrong key", async () => {
    const nobody = connectTo(server.address);
    clients.push(nobody);
    expect((await failure(read(nobody, mine))).code).toBe(status.UNAUTHENTICATED);
    expect((await failure(read(connect("wrong-but-long-enough"), mine))).code).toBe(status.UNAUTHENTICATED);
  });
});

describe.runIf(addonBuilt)("tokens", () => {
  test("one that grants a collection to read", async () => {
    const client = connect(await token({ access: [{ collection: mine, access: "r" }] }));
    expect((await read(client, mine)).result).toHaveLength(1);
    expect(await denied(read(client, foreign))).toContain(`Access to collection ${foreign} is required`);
    expect(await denied(write(client, mine))).toContain("Write access");
    expect((await client.call(Collections.method.list, {})).collections.map(({ name }) => name)).toEqual([mine]);
    expect(await denied(makeCollection(client))).toContain("Global manage access is required");
  });

  test("one that grants points, and one that grants the collection", async () => {
    const points = connect(await token({ access: [{ collection: mine, access: "prw" }] }));
    await write(points, mine);
    await denied(index(points, mine));
    await denied(write(points, foreign));
    const whole = connect(await token({ access: [{ collection: mine, access: "rw" }] }));
    await write(whole, mine);
    await index(whole, mine);
    await denied(whole.call(Collections.method.delete, { collectionName: mine }));
  });

  test("streams and sessions are behind the same door", async () => {
    const client = connect(await token({ access: [{ collection: mine, access: "r" }] }));
    const stream = client.bidi(Ingest.method.bulkUpsert);
    stream.send({ message: { case: "start", value: { collectionName: mine, streamId: "s" } } });
    stream.end();
    await denied(stream.next());
    const scroll = client.download(Ingest.method.scroll, { collectionName: foreign });
    await denied(scroll.next());
    await denied(client.call(S5.method.close, { sessionId: "a" }));
  });

  test("global ones: r reads, m manages, none at all manages as Qdrant has it; the second key signs too", async () => {
    const reading = connect(await token({ access: "r" }));
    expect((await read(reading, foreign)).result).toHaveLength(1);
    await denied(write(reading, foreign));
    await write(connect(await token({ access: "m" })), foreign);
    await write(connect(await token({})), foreign);
    await write(connect(await token({ access: "m" }, { key: keys.other })), foreign);
  });

  test("expired, signed by another, signed with the reader's key, unsigned, with a claim of old", async () => {
    expect(await denied(read(connect(await token({ access: "m" }, { expires: -120 })), mine))).toBe("ExpiredSignature");
    for (const key of ["another-long-key", keys.reader]) {
      expect(await denied(read(connect(await token({ access: "m" }, { key })), mine))).toBe("InvalidSignature");
    }
    const [, body] = (await token({ access: "m" })).split(".");
    const none = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
    expect((await failure(read(connect(`${none}.${body}.`), mine))).code).toBe(status.UNAUTHENTICATED);
    const filtered = { access: [{ collection: mine, access: "r", payload: { user: "ada" } }] };
    const old = await failure(read(connect(await token(filtered)), mine));
    expect([old.code, old.details]).toEqual([status.UNAUTHENTICATED, expect.stringContaining("payload")]);
  });

  test("value_exists: the token lives as long as the point", async () => {
    const users = await makeCollection(manager);
    const user = (id: number, name: string) => ({ id: num(id), vectors: dense(1, 1), payload: { name: text(name) } });
    await manager.call(Points.method.upsert, { collectionName: users, wait: true, points: [user(1, "ada")] });
    const claim = { collection: users, matches: [{ key: "name", value: "ada" }] };
    const client = connect(await token({ access: "r", value_exists: claim }));
    expect((await read(client, mine)).result).toHaveLength(1);
    const filter = { must: [keyword("name", "ada")] };
    await manager.call(Points.method.delete, {
      collectionName: users,
      wait: true,
      points: { pointsSelectorOneOf: { case: "filter", value: filter } },
    });
    expect(await denied(read(client, mine))).toContain("stateful validation failed");
  });

  test("nothing of a key or token is in the log", async () => {
    for (const key of Object.values(keys)) expect(server.log).not.toContain(key);
    expect(server.log).not.toContain("eyJ");
  });
});
