/**
 * Text filters and text indexes over REST, against answers that Qdrant's own engine gave (test/filter/text_oracle.py): before an index is there,
 * filled from what is stored, and kept up under overwrites and deletes.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addonBuilt, ServerProcess } from "../e2e/server-process.ts";

// biome-ignore lint/suspicious/noExplicitAny: answers and recorded cases are looked into, member by member
type Loose = any;

let server: ServerProcess;
beforeAll(async () => {
  if (addonBuilt) server = await ServerProcess.start({ logLevel: "warn" });
});
afterAll(async () => {
  await server?.stop();
});

async function call(method: string, path: string, body?: unknown): Promise<Loose> {
  const response = await fetch(`http://127.0.0.1:${server.httpPort}${path}`, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  return response.json();
}

let made = 0;
async function collection(payloads: readonly Loose[] = []): Promise<string> {
  const name = `text-${++made}`;
  await call("PUT", `/collections/${name}`, { vectors: { size: 1, distance: "Dot" } });
  await upsert(
    name,
    payloads.map((payload, i) => [i + 1, payload]),
  );
  return name;
}

async function upsert(name: string, points: readonly (readonly [number, Loose])[]): Promise<void> {
  if (points.length === 0) return;
  const answer = await call("PUT", `/collections/${name}/points?wait=true`, {
    points: points.map(([id, payload]) => ({ id, vector: [1], payload })),
  });
  expect(answer.status).toBe("ok");
}

async function index(name: string, field: string, schema: Loose): Promise<Loose> {
  return call("PUT", `/collections/${name}/index?wait=true`, { field_name: field, field_schema: schema });
}

async function found(name: string, filter: Loose): Promise<number[]> {
  const answer = await call("POST", `/collections/${name}/points/scroll`, { limit: 1000, filter, with_payload: false });
  return answer.result.points.map((point: Loose) => point.id);
}

const cases = readFileSync(new URL("../filter/text-cases.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Loose);

describe.skipIf(!addonBuilt)("text filters", () => {
  test("the recorded cases have answers of all kinds", () => {
    const answers = cases.flatMap(({ filters, payloads }: Loose) =>
      filters.map((one: Loose) => one.found.length / payloads.length),
    );
    expect(answers.length).toBeGreaterThan(1500);
    expect(answers.filter((share: number) => share > 0 && share < 1).length).toBeGreaterThan(600);
  });

  test.each(cases.map((one: Loose, i: number) => [i, one]))("case %i", async (_, one) => {
    const { field, params, payloads, filters } = one;
    // Half of the points come after the index, some of those before it are overwritten with other texts, and some are deleted.
    const half = Math.floor(payloads.length / 2);
    const name = await collection(
      payloads.slice(0, half).map((payload: Loose, i: number) => (i % 3 === 0 ? payload : { t: `quick fox ${i}` })),
    );
    await upsert(name, [[1000, { t: "The quick brown fox", n: [{ t: "quick" }] }]]);
    if (params !== null) expect((await index(name, field, params)).status).toBe("ok");
    await upsert(
      name,
      payloads
        .map((payload: Loose, i: number) => [i + 1, payload])
        .filter(([id]: [number]) => id > half || (id - 1) % 3 !== 0),
    );
    await call("POST", `/collections/${name}/points/delete?wait=true`, { points: [1000] });
    for (const { filter, found: expected } of filters) {
      expect([filter, await found(name, filter)]).toEqual([filter, expected]);
    }
    // A filter of several conditions takes other ways through the plan than each by itself.
    const [a, b] = filters.filter((each: Loose) => each.filter.must !== undefined);
    const both = { must: [...a.filter.must, ...b.filter.must] };
    expect(await found(name, both)).toEqual(a.found.filter((id: number) => b.found.includes(id)));
    const either = { should: [...a.filter.must, ...b.filter.must] };
    expect(await found(name, either)).toEqual([...new Set([...a.found, ...b.found])].sort((x, y) => x - y));
  });
});
