/** Starts a server on a temporary folder, asks it all calls and probes, and writes the page from its answers. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type DescMethod,
  type DescService,
  fromBinary,
  fromJson,
  type JsonValue,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { Qdrant } from "../../gen/qdrant/qdrant_pb.js";
import { Snapshots } from "../../gen/qdrant/snapshots_service_pb.js";
import { healthService } from "../../src/api/grpc/descriptors.ts";
import { startServer } from "../../src/main.ts";
import { createLog, readConfig } from "../../src/ops/index.ts";
import { clientsPart } from "./clients.ts";
import type { Json, Probe, Row } from "./probes.ts";
import { rows } from "./rows.ts";

const services: readonly DescService[] = [Points, Collections, Snapshots, Qdrant, healthService];

interface Answer {
  readonly code: status;
  readonly text: string;
  readonly json: JsonValue;
}

type Ask = (method: DescMethod, request: Json) => Promise<Answer>;
type Outcome = "works" | "accepted" | "echoed" | "UNIMPLEMENTED" | "not served";

/** Fills the collections `plain` and `named`. */
export const setUp: readonly (readonly [string, Json])[] = [
  [
    "qdrant.Collections/Create",
    { collection_name: "plain", vectors_config: { params: { size: 4, distance: "Cosine" } } },
  ],
  [
    "qdrant.Collections/Create",
    {
      collection_name: "named",
      vectors_config: { params_map: { map: { a: { size: 4, distance: "Dot" }, b: { size: 2, distance: "Euclid" } } } },
    },
  ],
  [
    "qdrant.Points/Upsert",
    {
      collection_name: "named",
      wait: true,
      points: [1, 2].map((num) => ({
        id: { num },
        vectors: { vectors: { vectors: { a: { dense: { data: [1, 0, 0, num] } }, b: { dense: { data: [num, 0] } } } } },
      })),
    },
  ],
  [
    "qdrant.Points/Upsert",
    {
      collection_name: "plain",
      wait: true,
      points: [
        {
          id: { num: 1 },
          vectors: { vector: { dense: { data: [1, 0, 0, 0] } } },
          payload: {
            city: { string_value: "Berlin" },
            n: { integer_value: 1 },
            flag: { bool_value: true },
            gone: { integer_value: 0 },
            nothing: { null_value: "NULL_VALUE" },
            when: { string_value: "2026-06-01T00:00:00Z" },
            tags: { list_value: { values: [{ string_value: "x" }, { string_value: "y" }] } },
            place: { struct_value: { fields: { lon: { double_value: 13.4 }, lat: { double_value: 52.5 } } } },
            items: {
              list_value: { values: [{ struct_value: { fields: { color: { string_value: "red" } } } }] },
            },
          },
        },
        point(2, [0.5, 0.5, 0, 0], { city: { string_value: "Berlin" }, n: { integer_value: 2 } }),
        point(3, [0, 1, 0, 0], { city: { string_value: "London" }, n: { integer_value: 3 } }),
        point(4, [0, 0, 1, 0], {}),
        point(5, [0, 0, 1, 1], {}),
      ],
    },
  ],
  ...["Integer n", "Keyword city"].map((what): [string, Json] => {
    const [type, name] = what.split(" ") as [string, string];
    const field = { collection_name: "plain", wait: true, field_name: name, field_type: `FieldType${type}` };
    return ["qdrant.Points/CreateFieldIndex", field];
  }),
];

function point(num: number, data: readonly number[], payload: Json): Json {
  return { id: { num }, vectors: { vector: { dense: { data } } }, payload };
}

/** The page as Markdown. Throws when a served call answers otherwise than its row expects. */
export async function makeCompatibilityPage(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "sealpoint-compatibility-"));
  const config = readConfig({ SEALPOINT_DATA_DIR: folder, SEALPOINT_GRPC_PORT: "0", SEALPOINT_HTTP_PORT: "0" });
  const server = await startServer(config, createLog("silent"));
  const client = new Client(`127.0.0.1:${server.grpcPort}`, credentials.createInsecure());
  const ask: Ask = (method, request) => askServer(client, method, request);
  try {
    const rpcs = await listRpcs(ask);
    for (const [method, request] of setUp) await askWell(ask, method, request);
    const capabilities: string[] = [];
    for (const [at, row] of rows.entries()) {
      capabilities.push(`| ${at + 1} | ${row.title} | ${await judgeRow(row, ask, server.httpPort)} |`);
    }
    return page(rpcs, capabilities);
  } finally {
    client.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function askServer(client: Client, method: DescMethod, request: Json): Promise<Answer> {
  const message = fromJson(method.input, request as JsonValue);
  const path = `/${method.parent.typeName}/${method.name}`;
  return new Promise((resolve) => {
    const done = (error: ServiceError | null, bytes?: Buffer): void => {
      if (error !== null) resolve({ code: error.code, text: error.details, json: null });
      else
        resolve({ code: status.OK, text: "", json: toJson(method.output, fromBinary(method.output, bytes as Buffer)) });
    };
    client.makeUnaryRequest(path, Buffer.from, (bytes: Buffer) => bytes, toBinary(method.input, message), done);
  });
}

export function methodOf(path: string): DescMethod {
  const [service, name] = path.split("/");
  const found = services.find((one) => one.typeName === service)?.methods.find((one) => one.name === name);
  if (found === undefined) throw new Error(`${path}: no such call`);
  return found;
}

async function askWell(ask: Ask, path: string, request: Json): Promise<void> {
  const { code, text } = await ask(methodOf(path), request);
  if (code !== status.OK) throw new Error(`${path}: ${status[code]}: ${text}`);
}

/** Each unary call with an empty message: what is served judges it, the others say so. */
async function listRpcs(ask: Ask): Promise<string[]> {
  const lines: string[] = [];
  let served = 0;
  for (const service of services) {
    for (const method of service.methods) {
      if (method.methodKind !== "unary") continue;
      const { code, text } = await ask(method, {});
      const missing = code === status.UNIMPLEMENTED;
      if (!missing) served += 1;
      const reason = missing ? text.replace(`${service.typeName}/${method.name} `, "") : "";
      lines.push(`| ${service.typeName} | ${method.name} | ${missing ? "UNIMPLEMENTED" : "served"} | ${reason} |`);
    }
  }
  return [
    `${served} of ${lines.length} calls are served.`,
    "",
    "| service | call | | reason |",
    "|---|---|---|---|",
    ...lines,
  ];
}

async function judgeRow(row: Row, ask: Ask, httpPort: number): Promise<string> {
  const labels = new Map<Outcome, string[]>();
  const texts: string[] = [];
  for (const probe of row.probes) {
    if (probe.kind === "stated") {
      texts.push(probe.shownBy === undefined ? probe.text : `${probe.text} (${probe.shownBy})`);
      continue;
    }
    const outcome = await judge(probe, ask, httpPort);
    labels.set(outcome, [...(labels.get(outcome) ?? []), probe.label]);
  }
  for (const [outcome, names] of labels) texts.push(`${words[outcome]}: ${names.join(", ")}`);
  return `${texts.join("; ")}${row.note === undefined ? "" : `. ${row.note}`}`;
}

const words: Readonly<Record<Outcome, string>> = {
  works: "works",
  accepted: "accepted without effect",
  echoed: "accepted and echoed",
  UNIMPLEMENTED: "UNIMPLEMENTED",
  "not served": "not served",
};

async function judge(probe: Exclude<Probe, { kind: "stated" }>, ask: Ask, httpPort: number): Promise<Outcome> {
  switch (probe.kind) {
    case "http": {
      const response = await fetch(`http://127.0.0.1:${httpPort}${probe.path}`);
      await response.arrayBuffer();
      if (response.status === 404) return "not served";
      if (response.status !== 200) throw new Error(`GET ${probe.path}: ${response.status}`);
      return "works";
    }
    case "echo": {
      const name = `echo-${probe.path}`;
      const vectors = { vectors_config: { params: { size: 4, distance: "Cosine" } } };
      await askWell(ask, "qdrant.Collections/Create", { collection_name: name, ...vectors, ...probe.config });
      const { json } = await ask(methodOf("qdrant.Collections/Get"), { collection_name: name });
      if (at(json, `result.${probe.path}`) === undefined) throw new Error(`${probe.label}: not shown at ${probe.path}`);
      return "echoed";
    }
    case "call": {
      const { code, text, json } = await ask(methodOf(probe.method), probe.request);
      if (code === status.UNIMPLEMENTED) return "UNIMPLEMENTED";
      if (code !== status.OK) throw new Error(`${probe.label} (${probe.method}): ${status[code]}: ${text}`);
      if (probe.expect !== undefined) {
        const [path, value] = probe.expect;
        const got = at(json, path);
        // A default value is not in protobuf's JSON.
        const same = got === value || (got === undefined && (value === "0" || value === false));
        if (!same) throw new Error(`${probe.label} (${probe.method}): ${path} is ${JSON.stringify(got)}, not ${value}`);
      }
      return probe.withoutEffect === true ? "accepted" : "works";
    }
  }
}

function at(json: JsonValue | undefined, path: string): JsonValue | undefined {
  let value: unknown = json;
  for (const key of path.split(".")) value = (value as Record<string, unknown> | null | undefined)?.[key];
  return value as JsonValue | undefined;
}

function page(rpcs: readonly string[], capabilities: readonly string[]): string {
  return `# Compatibility with Qdrant 1.19

This page is written by \`node scripts/compatibility/write.ts\`, which starts a server and asks it everything below; \`test/compat-doc\`
fails when the page is not what the server answers.

## Calls

Each call is sent with an empty message. "served" means that a handler judged it; the others answer UNIMPLEMENTED with a reason.
${rpcs.join("\n")}

Beside these, \`grpc.health.v1.Health/Watch\`, reflection (v1 and v1alpha) and \`sealpoint.v1\` (Ingest, S5, Sealing) are served.

## Clients

One table of calls (\`test/compat/table.json\`) through Qdrant's own clients, as they are published; \`test/compat/table.test.ts\` runs it and compares every answer. "-": the client has no such call.
Written by \`node scripts/compatibility/write-clients.ts\`.

${clientsPart()}

## Capabilities

"accepted and echoed" means that the setting is kept and shown by Get but changes nothing;
"accepted without effect" that a request with it is served as if it were not there. What answers UNIMPLEMENTED names the field and stores nothing.

| # | capability | what this server does |
|---|---|---|
${capabilities.join("\n")}
`;
}
