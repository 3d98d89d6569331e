/**
 * Writes docs/api/sealpoint.md and docs/api/qdrant.md from the comments of proto/ and the table of REST routes.
 *   node scripts/api-reference.ts           writes them
 * test/compat-doc fails when they are not what this makes.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorSetSchema,
  type ServiceDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { routes } from "../src/api/rest/routes.ts";

const root = join(import.meta.dirname, "..");

/** Numbers of fields in descriptor.proto, of which paths to comments are made. */
const at = { message: 4, enum: 5, service: 6, field: 2, nested: 3, nestedEnum: 4, value: 2, method: 2 } as const;

interface Page {
  readonly path: string;
  readonly title: string;
  readonly intro: string;
  /** Of the files whose services and messages it shows. */
  readonly files: RegExp;
}

const pages: readonly Page[] = [
  {
    path: "docs/api/sealpoint.md",
    title: "API reference: sealpoint.v1",
    intro: `What Sealpoint offers beyond Qdrant's API, on the same gRPC port. Errors are gRPC's codes with a \`google.rpc.ErrorInfo\` that names the field at fault; every
call may also answer UNAUTHENTICATED (no key or a wrong one), PERMISSION_DENIED (a token that does not grant it), RESOURCE_EXHAUSTED (a limit of
[limits.md](../limits.md)), UNAVAILABLE (shutting down, or a disk that takes no writes) and, past its deadline, DEADLINE_EXCEEDED.`,
    files: /^sealpoint\//,
  },
  {
    path: "docs/api/qdrant.md",
    title: "API reference: Qdrant's services",
    intro: `The calls of Qdrant 1.19 as they are served here, with their REST routes. What each does is Qdrant's to say; what differs or is missing stands in
[compatibility.md](../compatibility.md), bounds in [limits.md](../limits.md), and JSON shapes in \`/openapi.json\` of a running server. Comments are about this server.`,
    files: /^qdrant\//,
  },
];

function readFiles(): FileDescriptorProto[] {
  const folder = mkdtempSync(join(tmpdir(), "sealpoint-api-"));
  try {
    const out = join(folder, "files.binpb");
    execFileSync(join(root, "node_modules/.bin/buf"), ["build", "--as-file-descriptor-set", "-o", out], { cwd: root });
    return fromBinary(FileDescriptorSetSchema, readFileSync(out)).file;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Comments by the path of what they stand before, each as one line. */
function commentsOf(file: FileDescriptorProto): Map<string, string> {
  const comments = new Map<string, string>();
  for (const { path, leadingComments, trailingComments } of file.sourceCodeInfo?.location ?? []) {
    const text = `${leadingComments} ${trailingComments}`.replaceAll(/\s+/g, " ").trim();
    if (text !== "") comments.set(path.join("."), text);
  }
  return comments;
}

const scalars: Readonly<Record<number, string>> = {
  [FieldDescriptorProto_Type.DOUBLE]: "double",
  [FieldDescriptorProto_Type.FLOAT]: "float",
  [FieldDescriptorProto_Type.INT64]: "int64",
  [FieldDescriptorProto_Type.UINT64]: "uint64",
  [FieldDescriptorProto_Type.INT32]: "int32",
  [FieldDescriptorProto_Type.UINT32]: "uint32",
  [FieldDescriptorProto_Type.BOOL]: "bool",
  [FieldDescriptorProto_Type.STRING]: "string",
  [FieldDescriptorProto_Type.BYTES]: "bytes",
};

/** Of messages and enums: where they are shown. */
type Places = ReadonlyMap<string, Page>;

const bare = (typeName: string): string => typeName.replace(/^\./, "");
const anchor = (typeName: string): string => bare(typeName).toLowerCase().replaceAll(".", "");

function link(typeName: string, page: Page, places: Places): string {
  const name = bare(typeName);
  const there = places.get(name);
  if (there === undefined) return `\`${name}\``;
  const file = there === page ? "" : (there.path.split("/").at(-1) as string);
  return `[${name.replace(/^(?:qdrant|sealpoint\.v1)\./, "")}](${file}#${anchor(name)})`;
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");

class Writer {
  readonly lines: string[] = [];
  readonly #page: Page;
  readonly #places: Places;

  constructor(page: Page, places: Places) {
    this.#page = page;
    this.#places = places;
  }

  add(...lines: string[]): void {
    this.lines.push(...lines);
  }

  service(service: ServiceDescriptorProto, pkg: string, path: string, comments: Map<string, string>): void {
    const name = `${pkg}.${service.name}`;
    this.add(`## ${name}`, "");
    const said = comments.get(path);
    if (said !== undefined) this.add(said, "");
    this.add("| call | request | answer | REST | |", "|---|---|---|---|---|");
    service.method.forEach((method, i) => {
      const stream = (streams: boolean, type: string) =>
        `${streams ? "stream of " : ""}${link(type, this.#page, this.#places)}`;
      const rest = routes.filter(({ rpc }) => rpc === `/${name}/${method.name}`);
      const shown = rest.map((one) => `${one.method} \`${one.url.replaceAll(/:(\w+)/g, "{$1}")}\``).join("<br>");
      const summary = comments.get(`${path}.${at.method}.${i}`) ?? rest[0]?.summary ?? "";
      const cells = [
        method.name,
        stream(method.clientStreaming, method.inputType),
        stream(method.serverStreaming, method.outputType),
        shown,
        cell(summary),
      ];
      this.add(`| ${cells.join(" | ")} |`);
    });
    this.add("");
  }

  message(message: DescriptorProto, name: string, path: string, comments: Map<string, string>): void {
    this.add(`### ${name}`, "");
    const said = comments.get(path);
    if (said !== undefined) this.add(said, "");
    const maps = new Map(
      message.nestedType.filter((one) => one.options?.mapEntry === true).map((one) => [`.${name}.${one.name}`, one]),
    );
    if (message.field.length === 0) this.add("No fields.", "");
    else this.add("| field | number | type | |", "|---|---|---|---|");
    message.field.forEach((field, i) => {
      const comment = comments.get(`${path}.${at.field}.${i}`) ?? "";
      const deprecated = field.options?.deprecated === true ? "Deprecated. " : "";
      const cells = [field.name, field.number, this.#typeOf(field, message, maps), cell(deprecated + comment)];
      this.add(`| ${cells.join(" | ")} |`);
    });
    if (message.field.length > 0) this.add("");
    message.enumType.forEach((one, i) => {
      this.enum(one, `${name}.${one.name}`, `${path}.${at.nestedEnum}.${i}`, comments);
    });
    message.nestedType.forEach((one, i) => {
      if (one.options?.mapEntry !== true)
        this.message(one, `${name}.${one.name}`, `${path}.${at.nested}.${i}`, comments);
    });
  }

  enum(type: EnumDescriptorProto, name: string, path: string, comments: Map<string, string>): void {
    this.add(`### ${name}`, "");
    const said = comments.get(path);
    if (said !== undefined) this.add(said, "");
    this.add("| value | number | |", "|---|---|---|");
    type.value.forEach((value, i) => {
      this.add(`| ${value.name} | ${value.number} | ${cell(comments.get(`${path}.${at.value}.${i}`) ?? "")} |`);
    });
    this.add("");
  }

  #typeOf(field: FieldDescriptorProto, message: DescriptorProto, maps: Map<string, DescriptorProto>): string {
    const map = maps.get(field.typeName);
    if (map !== undefined) {
      const [key, value] = map.field.map((one) => this.#nameOf(one));
      return `map of ${key} to ${value}`;
    }
    const name = this.#nameOf(field);
    if (field.label === FieldDescriptorProto_Label.REPEATED) return `repeated ${name}`;
    if (field.proto3Optional) return `optional ${name}`;
    const isMember = Object.hasOwn(field, "oneofIndex");
    return isMember ? `${name}, one of \`${message.oneofDecl[field.oneofIndex]?.name}\`` : name;
  }

  #nameOf(field: FieldDescriptorProto): string {
    return scalars[field.type] ?? link(field.typeName, this.#page, this.#places);
  }
}

function forEachType(file: FileDescriptorProto, visit: (name: string) => void): void {
  const into = (message: DescriptorProto, name: string): void => {
    visit(name);
    for (const one of message.enumType) visit(`${name}.${one.name}`);
    for (const one of message.nestedType) if (one.options?.mapEntry !== true) into(one, `${name}.${one.name}`);
  };
  for (const one of file.messageType) into(one, `${file.package}.${one.name}`);
  for (const one of file.enumType) visit(`${file.package}.${one.name}`);
}

/** What stands in each page, by its path. */
export function makeApiReference(): ReadonlyMap<string, string> {
  const files = readFiles();
  const places = new Map<string, Page>();
  const pageOf = (file: FileDescriptorProto) => pages.find((page) => page.files.test(file.name));
  for (const file of files) {
    const page = pageOf(file);
    if (page !== undefined) forEachType(file, (name) => places.set(name, page));
  }
  const made = new Map<string, string>();
  for (const page of pages) {
    const out = new Writer(page, places);
    out.add(`# ${page.title}`, "", "Written by `node scripts/api-reference.ts` from `proto/`.", "", page.intro, "");
    const own = files.filter((file) => pageOf(file) === page).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const file of own) {
      const comments = commentsOf(file);
      file.service.forEach((one, i) => {
        out.service(one, file.package, `${at.service}.${i}`, comments);
      });
    }
    out.add("## Messages", "");
    for (const file of own) {
      const comments = commentsOf(file);
      file.messageType.forEach((one, i) => {
        out.message(one, `${file.package}.${one.name}`, `${at.message}.${i}`, comments);
      });
      file.enumType.forEach((one, i) => {
        out.enum(one, `${file.package}.${one.name}`, `${at.enum}.${i}`, comments);
      });
    }
    made.set(page.path, `${out.lines.join("\n").trimEnd()}\n`);
  }
  return made;
}

/** Calls, messages and fields of sealpoint's own packages that no comment explains. */
export function uncommented(): string[] {
  const missing: string[] = [];
  for (const file of readFiles().filter(({ name }) => name.startsWith("sealpoint/"))) {
    const comments = commentsOf(file);
    file.service.forEach((service, i) => {
      service.method.forEach((method, j) => {
        if (!comments.has(`${at.service}.${i}.${at.method}.${j}`)) missing.push(`${service.name}/${method.name}`);
      });
    });
    file.messageType.forEach((message, i) => {
      message.field.forEach((field, j) => {
        const path = `${at.message}.${i}`;
        if (!comments.has(path) && !comments.has(`${path}.${at.field}.${j}`))
          missing.push(`${message.name}.${field.name}`);
      });
    });
  }
  return missing;
}

if (import.meta.main) {
  mkdirSync(join(root, "docs/api"), { recursive: true });
  for (const [path, text] of makeApiReference()) writeFileSync(join(root, path), text);
}
