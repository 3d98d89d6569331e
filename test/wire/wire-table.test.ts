// Holds our descriptors to Qdrant 1.19's wire table, both ways: each row must be ours, and whatever is ours must be a row
// or stand in one of the two lists of additions below. A difference here breaks official clients.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { clone, type DescFile, type DescMessage, isFieldSet } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type MethodDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { file_qdrant_collections } from "../../gen/qdrant/collections_pb.js";
import { file_qdrant_collections_service } from "../../gen/qdrant/collections_service_pb.js";
import { file_qdrant_health_check } from "../../gen/qdrant/health_check_pb.js";
import { file_qdrant_json_with_int } from "../../gen/qdrant/json_with_int_pb.js";
import { file_qdrant_points } from "../../gen/qdrant/points_pb.js";
import { file_qdrant_points_service } from "../../gen/qdrant/points_service_pb.js";
import { file_qdrant_qdrant_common } from "../../gen/qdrant/qdrant_common_pb.js";
import { file_qdrant_qdrant } from "../../gen/qdrant/qdrant_pb.js";
import { file_qdrant_snapshots_service } from "../../gen/qdrant/snapshots_service_pb.js";

const files = [
  file_qdrant_collections,
  file_qdrant_collections_service,
  file_qdrant_health_check,
  file_qdrant_json_with_int,
  file_qdrant_points,
  file_qdrant_points_service,
  file_qdrant_qdrant,
  file_qdrant_qdrant_common,
  file_qdrant_snapshots_service,
];

/** Rows of ours that Qdrant does not have, in the table's own form. All field numbers are 50001 or more. */
const additions = [
  "collections.proto	field	CollectionInfo	sealing	50001	sealpoint.policy.v1.SealingState	proto3_optional	",
  "collections.proto	field	CollectionInfo	memory	50002	sealpoint.usage.v1.CollectionMemory	proto3_optional	",
  "collections.proto	field	CreateCollection	sealing	50001	sealpoint.policy.v1.SealingPolicy	proto3_optional	",
  "health_check.proto	rpc	/grpc.health.v1.Health/Watch	Watch		grpc.health.v1.HealthCheckRequest -> grpc.health.v1.HealthCheckResponse	server_stream	",
  "points.proto	field	PointStruct	public_key	50001	string	proto3_optional	",
  ...[
    "UpsertPoints",
    "SetPayloadPoints",
    "PointsUpdateOperation.PointStructList",
    "PointsUpdateOperation.SetPayload",
    "PointsUpdateOperation.OverwritePayload",
  ].flatMap((message) => [
    `points.proto	field	${message}	public_key	50001	string	proto3_optional	`,
    `points.proto	field	${message}	fresh_ephemeral	50002	bool	proto3_optional	`,
  ]),
];

/** Messages without fields, which the table therefore has no row of; each is a type that some row names. */
const emptyMessages = [
  "qdrant.CreateFullSnapshotRequest",
  "qdrant.Disabled",
  "qdrant.DisabledStemmer",
  "qdrant.HealthCheckRequest",
  "qdrant.KeywordPrefixParams",
  "qdrant.ListAliasesRequest",
  "qdrant.ListCollectionsRequest",
  "qdrant.ListFullSnapshotsRequest",
];

function readTable(): string[] {
  const lines = readFileSync(join(import.meta.dirname, "qdrant-wire-1.19.tsv"), "utf8").split("\n");
  return lines.slice(1).filter((line) => line !== "");
}

// The descriptors are read as protoc wrote them, not in protobuf-es's view, which hides map entries.

function typeOf(field: FieldDescriptorProto): string {
  if (field.typeName !== "") return field.typeName.slice(1);
  return FieldDescriptorProto_Type[field.type].toLowerCase();
}

function labelOf(field: FieldDescriptorProto): string {
  if (field.label === FieldDescriptorProto_Label.REPEATED) return "repeated";
  return field.proto3Optional ? "proto3_optional" : "singular";
}

function extraOf(field: FieldDescriptorProto, message: DescriptorProto): string {
  // A proto3 optional stands in a oneof of its own, which protoc makes and nobody sees.
  const inOneof = isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex) && !field.proto3Optional;
  const oneof = inOneof ? `oneof ${message.oneofDecl[field.oneofIndex]?.name}` : "";
  return field.options?.deprecated ? `${oneof} deprecated` : oneof;
}

function readMessage(file: string, message: DescriptorProto, path: string): string[] {
  const kind = message.options?.mapEntry ? "map_entry_field" : "field";
  return [
    ...message.field.map((field) =>
      [file, kind, path, field.name, field.number, typeOf(field), labelOf(field), extraOf(field, message)].join("\t"),
    ),
    // A descriptor's range ends before `end`; a row's includes both ends.
    ...message.reservedRange.map((range) =>
      [file, "reserved", path, "", `${range.start}-${range.end - 1}`, "", "", ""].join("\t"),
    ),
    ...message.reservedName.map((name) => [file, "reserved_name", path, name, "", "", "", ""].join("\t")),
    ...message.nestedType.flatMap((nested) => readMessage(file, nested, `${path}.${nested.name}`)),
    ...message.enumType.flatMap((nested) => readEnum(file, nested, `${path}.${nested.name}`)),
  ];
}

function readEnum(file: string, { value, reservedRange }: EnumDescriptorProto, path: string): string[] {
  return [
    ...value.map(({ name, number }) => [file, "enum_value", path, name, number, "", "", ""].join("\t")),
    ...reservedRange.map((range) => [file, "reserved", path, "", `${range.start}-${range.end}`, "", "", ""].join("\t")),
  ];
}

function callKind({ clientStreaming, serverStreaming }: MethodDescriptorProto): string {
  if (clientStreaming) return serverStreaming ? "bidirectional_stream" : "client_stream";
  return serverStreaming ? "server_stream" : "unary";
}

function readFile({ proto }: Pick<DescFile, "proto">): string[] {
  const file = proto.name.replace(/^qdrant\//, "");
  return [
    ...proto.messageType.flatMap((message) => readMessage(file, message, message.name)),
    ...proto.enumType.flatMap((each) => readEnum(file, each, each.name)),
    ...proto.service.flatMap((service) =>
      service.method.map((method) => {
        const types = `${method.inputType.slice(1)} -> ${method.outputType.slice(1)}`;
        const deprecated = method.options?.deprecated ? "deprecated" : "";
        const path = `/${proto.package}.${service.name}/${method.name}`;
        return [file, "rpc", path, method.name, "", types, callKind(method), deprecated].join("\t");
      }),
    ),
  ];
}

/** What has to change in `rows` to make it the table with the additions; empty when they agree. */
function differences(rows: readonly string[], table: readonly string[]): string[] {
  const ours = new Set(rows);
  const expected = new Set([...table, ...additions]);
  return [
    ...[...expected].filter((row) => !ours.has(row)).map((row) => `missing: ${row}`),
    ...[...ours].filter((row) => !expected.has(row)).map((row) => `extra: ${row}`),
  ];
}

const table = readTable();
const rows = files.flatMap(readFile);

describe("the Qdrant wire table", () => {
  it("is whole: 990 fields, 109 enum values, 52 calls", () => {
    const count = (kind: string) => table.filter((row) => row.split("\t")[1] === kind).length;
    expect([count("field"), count("enum_value"), count("rpc")]).toEqual([990, 109, 52]);
    expect(new Set(table).size).toBe(table.length);
  });

  it("is what our descriptors say, with our listed additions and nothing else", () => {
    expect(differences(rows, table)).toEqual([]);
    expect(new Set(rows).size).toBe(rows.length);
  });

  it("leaves Qdrant's numbers to Qdrant: a field of ours is 50001 or more and in no row", () => {
    const fields = additions.map((row) => row.split("\t")).filter(([, kind]) => kind === "field");
    expect(fields.length).toBe(additions.length - 1);
    for (const [, , , , number] of fields) expect(Number(number)).toBeGreaterThanOrEqual(50_001);
    expect(additions.filter((row) => table.includes(row))).toEqual([]);
    expect(table.filter((row) => Number(row.split("\t")[4]) >= 50_001)).toEqual([]);
  });

  it("covers every message: those without a row are the known empty ones", () => {
    const all = (messages: DescMessage[]): DescMessage[] =>
      messages.flatMap((message) => [message, ...all(message.nestedMessages)]);
    const withoutRows = files
      .flatMap((file) => all(file.messages))
      .filter(({ fields, proto }) => fields.length === 0 && proto.reservedRange.length === 0);
    expect(withoutRows.map((message) => message.typeName).sort()).toEqual(emptyMessages);
  });

  it("is in Qdrant's packages, proto3, without extensions", () => {
    for (const { proto } of files) {
      expect(proto.package).toBe(proto.name === "qdrant/health_check.proto" ? "grpc.health.v1" : "qdrant");
      expect(proto.syntax).toBe("proto3");
      expect(proto.extension).toEqual([]);
    }
  });
});

describe("the comparison", () => {
  it("reports a change in any row, and names both sides", () => {
    for (const [index, row] of table.entries()) {
      const cells = row.split("\t");
      cells[index % cells.length] += "1";
      const changed = cells.join("\t");
      expect(differences(rows, table.with(index, changed))).toEqual([`missing: ${changed}`, `extra: ${row}`]);
    }
  });

  it("reports a lost row and a row too many", () => {
    const [row, ...others] = table as [string, ...string[]];
    expect(differences(rows, others)).toEqual([`extra: ${row}`]);
    expect(differences(rows, [...table, `${row}1`])).toEqual([`missing: ${row}1`]);
    expect(
      differences(
        rows.filter((each) => each !== row),
        table,
      ),
    ).toEqual([`missing: ${row}`]);
  });

  // Each changes one thing in a copy of points.proto's or points_service.proto's descriptor.
  const scorer = (proto: FileDescriptorProto) => findMessage(proto, "ScoredPoint");
  const changes: [string, DescFile, (proto: FileDescriptorProto) => unknown][] = [
    ["a number", file_qdrant_points, (proto) => Object.assign(findField(scorer(proto), "score"), { number: 90 })],
    ["a name", file_qdrant_points, (proto) => Object.assign(findField(scorer(proto), "score"), { name: "scores" })],
    [
      "a type",
      file_qdrant_points,
      (proto) => Object.assign(findField(scorer(proto), "score"), { type: FieldDescriptorProto_Type.DOUBLE }),
    ],
    [
      "a message type",
      file_qdrant_points,
      (proto) => Object.assign(findField(scorer(proto), "id"), { typeName: ".qdrant.Value" }),
    ],
    [
      "repetition",
      file_qdrant_points,
      (proto) => Object.assign(findField(scorer(proto), "id"), { label: FieldDescriptorProto_Label.REPEATED }),
    ],
    [
      "presence",
      file_qdrant_points,
      (proto) => Object.assign(findField(scorer(proto), "vectors"), { proto3Optional: false }),
    ],
    ["a oneof's name", file_qdrant_points, (proto) => renameOneof(findMessage(proto, "Vector"), "vector")],
    ["deprecation", file_qdrant_points, (proto) => delete findField(findMessage(proto, "Vector"), "data").options],
    ["a reserved range", file_qdrant_points, (proto) => Object.assign(scorer(proto), { reservedRange: [] })],
    [
      "a lost message",
      file_qdrant_points,
      (proto) => proto.messageType.splice(proto.messageType.indexOf(scorer(proto)), 1),
    ],
    ["an enum value", file_qdrant_points, (proto) => proto.enumType[0]?.value.pop()],
    ["a lost call", file_qdrant_points_service, (proto) => proto.service[0]?.method.pop()],
    [
      "a stream",
      file_qdrant_points_service,
      (proto) => Object.assign(proto.service[0]?.method[0] ?? {}, { serverStreaming: true }),
    ],
    [
      "a call's type",
      file_qdrant_points_service,
      (proto) => Object.assign(proto.service[0]?.method[0] ?? {}, { inputType: ".x" }),
    ],
  ];

  it.each(changes)("reports a change of ours: %s", (_name, file, change) => {
    const proto = clone(FileDescriptorProtoSchema, file.proto);
    change(proto);
    const changed = files.flatMap((each) => readFile(each === file ? { proto } : each));
    expect(differences(changed, table)).not.toEqual([]);
  });
});

function findMessage(proto: FileDescriptorProto, name: string): DescriptorProto {
  const message = proto.messageType.find((each) => each.name === name);
  if (!message) throw new Error(`no message ${name}`);
  return message;
}

function findField(message: DescriptorProto, name: string): FieldDescriptorProto {
  const field = message.field.find((each) => each.name === name);
  if (!field) throw new Error(`no field ${name}`);
  return field;
}

function renameOneof(message: DescriptorProto, name: string): void {
  const oneof = message.oneofDecl.find((each) => each.name === name);
  if (!oneof) throw new Error(`no oneof ${name}`);
  oneof.name = `${name}s`;
}
