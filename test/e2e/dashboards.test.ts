/** deploy/'s rules for Prometheus and the dashboard for Grafana ask for nothing that the server does not write: names, labels and the labels' values. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { S5 } from "../../gen/sealpoint/v1/s5_pb.js";
import { type Portal, startPortal } from "../../src/s5/index.ts";
import { makeDatabase, makeRecords, owner } from "../s5/database.ts";
import { addonBuilt, connectTo, failure, root, ServerProcess } from "./server-process.ts";

interface Asked {
  readonly where: string;
  readonly expression: string;
  /** Labels that a text beside it shows. */
  readonly shown: readonly string[];
}

const read = (file: string): string => readFileSync(join(root, "deploy", file), "utf8");

function rulesOf(file: string): Asked[] {
  const { groups } = parse(read(file)) as {
    groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[];
  };
  return groups.flatMap(({ rules }) =>
    rules.map(({ alert, expr, annotations }) => ({
      where: `${file}: ${alert}`,
      expression: expr,
      shown: [
        ...Object.values(annotations)
          .join(" ")
          .matchAll(/\$labels\.(\w+)/g),
      ].map(([, label]) => label as string),
    })),
  );
}

function panelsOf(file: string): Asked[] {
  const { panels } = JSON.parse(read(file)) as {
    panels: { title: string; targets: { expr: string; legendFormat?: string }[] }[];
  };
  return panels.flatMap(({ title, targets }) =>
    targets.map(({ expr, legendFormat = "" }) => ({
      where: `${file}: ${title}`,
      expression: expr,
      shown: [...legendFormat.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(([, label]) => label as string),
    })),
  );
}

const asked = [...rulesOf("s5-alerts.yml"), ...rulesOf("alerts.yml"), ...panelsOf("s5-dashboard.json")];

const words = new Set(["by", "on", "and", "or", "unless", "without", "ignoring", "bool", "offset", "le"]);

interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly values: readonly string[] }[];
}

/** What an expression reads: its metrics with their matchers, and the labels that it groups by. */
function partsOf(expression: string): { readonly selectors: Selector[]; readonly groups: string[] } {
  const groups = [...expression.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)].flatMap(([, list]) =>
    (list as string)
      .split(",")
      .map((label) => label.trim())
      .filter(Boolean),
  );
  const bare = expression.replaceAll(/\b(?:by|on)\s*\([^)]*\)/g, " ");
  const selectors: Selector[] = [];
  for (const [, name, list = ""] of bare.matchAll(/(?<![\w"./])([a-z_:][a-z0-9_:]*)(?!\w|\s*\()\s*(?:\{([^}]*)\})?/g)) {
    if (words.has(name as string) || /^\d|^[smhd]$/.test(name as string)) continue;
    const matchers = [...list.matchAll(/(\w+)\s*(?:=~|=)\s*"([^"]*)"/g)].map(([, label, values]) => ({
      label: label as string,
      values: (values as string).split("|"),
    }));
    selectors.push({ metric: name as string, matchers });
  }
  return { selectors, groups };
}

test("expressions are taken apart", () => {
  const { selectors, groups } = partsOf(
    'sum by (code, le) (rate(a_total{method="/x.Y/Z",code=~"A|B"}[5m])) / histogram_quantile(0.5, b_bucket[10m]) and on() c == 0',
  );
  expect(groups).toEqual(["code", "le"]);
  expect(selectors).toEqual([
    {
      metric: "a_total",
      matchers: [
        { label: "method", values: ["/x.Y/Z"] },
        { label: "code", values: ["A", "B"] },
      ],
    },
    { metric: "b_bucket", matchers: [] },
    { metric: "c", matchers: [] },
  ]);
  expect(asked.length).toBeGreaterThan(25);
});

describe.skipIf(!addonBuilt)("what a server writes", () => {
  const database = makeDatabase();
  let portal: Portal;
  let server: ServerProcess;
  /** Each sample's labels, by its name. */
  const samples = new Map<string, Map<string, string>[]>();

  beforeAll(async () => {
    portal = await startPortal({ dir: database.dir, port: 0 });
    server = await ServerProcess.start({ env: { S5_PORTAL_URL: portal.url, SEALPOINT_MEMORY_LIMIT_MB: "4000" } });
    const client = connectTo(server.address);
    const load = async (sessionId: string, key: Uint8Array): Promise<void> => {
      const told = client.download(S5.method.load, {
        target: { case: "sessionId", value: sessionId },
        manifestPath: database.manifestPath,
        userAddress: owner,
        sessionKey: Buffer.from(key),
      });
      for (let next = await told.next(); next !== undefined; next = await told.next());
    };
    await load("one", database.key);
    await failure(load("two", new Uint8Array(32)));
    const vector = makeRecords(1, 8)[0]?.vector as number[];
    await client.call(S5.method.search, { sessionId: "one", vector, k: 1 });
    client.close();
    const text = await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
    for (const [, name, list = ""] of text.matchAll(/^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? \S+$/gm)) {
      const labels = new Map(
        [...list.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, value]) => [key as string, value as string]),
      );
      samples.set(name as string, [...(samples.get(name as string) ?? []), labels]);
    }
  });
  afterAll(async () => {
    await server?.stop();
    await portal?.close();
  });

  test.each(asked)("has what is asked for: $where ($expression)", ({ expression, shown }) => {
    const { selectors, groups } = partsOf(expression);
    expect(selectors.length).toBeGreaterThan(0);
    for (const { metric, matchers } of selectors) {
      const found = samples.get(metric);
      expect(found, `${metric} is not in /metrics`).toBeDefined();
      for (const label of groups)
        expect(
          found?.some((labels) => labels.has(label)),
          `${metric} by ${label}`,
        ).toBe(true);
      for (const { label, values } of matchers) {
        const there = new Set(found?.map((labels) => labels.get(label)));
        for (const value of values) expect(there, `${metric}{${label}="${value}"}`).toContain(value);
      }
    }
    // An aggregation keeps what it groups by, and nothing else.
    const left = expression.split(/\band\b/)[0] as string;
    const isAggregate = /\b(?:sum|min|max|avg|count|histogram_quantile)\b/.test(left);
    for (const label of shown) {
      const kept = isAggregate
        ? groups
        : selectors.flatMap(({ metric }) => [...(samples.get(metric)?.[0]?.keys() ?? [])]);
      expect(kept, `$labels.${label}`).toContain(label);
    }
  });
});
