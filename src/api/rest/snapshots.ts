/** Snapshots where HTTP offers what gRPC has not: download, upload, recovery from a URL, and those of a shard. */
import { Readable } from "node:stream";
import multipart from "@fastify/multipart";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Access, badInput, limits } from "../../core/index.ts";
import type { SnapshotsService } from "../../services/index.ts";
import { checkSnapshotPriority, readRecovery } from "../../wire/index.ts";

export type SnapshotsFor = (access: Access) => SnapshotsService;
type SnapshotInfo = Awaited<ReturnType<SnapshotsService["create"]>>;

interface Parameters {
  readonly name?: string;
  readonly snapshot?: string;
  readonly shard?: string;
}

interface SnapshotRoute {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly url: string;
  readonly summary: string;
  readonly work: "list" | "create" | "stream" | "download" | "remove" | "recover" | "upload";
}

const collection = "/collections/:name/snapshots";
const shard = "/collections/:name/shards/:shard";

export const snapshotRoutes: readonly SnapshotRoute[] = [
  { method: "GET", url: `${collection}/:snapshot`, work: "download", summary: "Download a collection's snapshot" },
  { method: "GET", url: "/snapshots/:snapshot", work: "download", summary: "Download a snapshot of the whole storage" },
  {
    method: "PUT",
    url: `${collection}/recover`,
    work: "recover",
    summary: "Recover from the snapshot that a URL names",
  },
  { method: "POST", url: `${collection}/upload`, work: "upload", summary: "Recover from an uploaded snapshot" },
  { method: "GET", url: `${shard}/snapshots`, work: "list", summary: "List a shard's snapshots" },
  { method: "POST", url: `${shard}/snapshots`, work: "create", summary: "Create a shard's snapshot" },
  { method: "GET", url: `${shard}/snapshot`, work: "stream", summary: "Stream a new snapshot of a shard" },
  { method: "GET", url: `${shard}/snapshots/:snapshot`, work: "download", summary: "Download a shard's snapshot" },
  { method: "DELETE", url: `${shard}/snapshots/:snapshot`, work: "remove", summary: "Delete a shard's snapshot" },
  {
    method: "PUT",
    url: `${shard}/snapshots/recover`,
    work: "recover",
    summary: "Recover a shard from a URL's snapshot",
  },
  { method: "POST", url: `${shard}/snapshots/upload`, work: "upload", summary: "Recover a shard from an upload" },
];

export interface SnapshotServing {
  readonly accessOf: (request: FastifyRequest) => Access;
  /** Answers with a result, in JSON. */
  readonly ok: (request: FastifyRequest, reply: FastifyReply, result: string) => FastifyReply;
  /** Answers that the work goes on behind the answer. */
  readonly accepted: (request: FastifyRequest, reply: FastifyReply, work: Promise<unknown>) => FastifyReply;
}

/** Qdrant's `wait` of calls that take long: what is not waited for is accepted. */
export function waits(request: FastifyRequest): boolean {
  const { wait } = request.query as { readonly wait?: string };
  if (wait === undefined || wait === "true") return true;
  if (wait === "false") return false;
  throw badInput("Format error in query parameters: wait: provided string was not `true` or `false`", "wait");
}

export async function serveSnapshotFiles(
  app: FastifyInstance,
  snapshotsFor: SnapshotsFor,
  { accessOf, ok, accepted }: SnapshotServing,
): Promise<void> {
  await app.register(multipart, { limits: { files: 1, fileSize: limits.snapshotBytesMax } });
  const service = (request: FastifyRequest): SnapshotsService => snapshotsFor(accessOf(request));
  const finish = async (request: FastifyRequest, reply: FastifyReply, work: Promise<string>): Promise<FastifyReply> =>
    waits(request) ? ok(request, reply, await work) : accepted(request, reply, work);
  const asFile = (reply: FastifyReply, name: string): FastifyReply =>
    reply
      .header("content-disposition", `attachment; filename="${name.replace(/[^\w.-]/g, "_")}"`)
      .type("application/octet-stream");

  const download = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name, snapshot = "" } = request.params as Parameters;
    const { info, read } = await service(request).download(name, snapshot, shardOf(request));
    return asFile(reply, info.name)
      .header("content-length", info.bytes)
      .send(Readable.from(read(0), { objectMode: false }));
  };
  const stream = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name = "" } = request.params as Parameters;
    await service(request).checkShard(name, shardOf(request) ?? 0);
    const parts = service(request).downloadNew(name);
    // The description comes first.
    const info = (await parts.next()).value as SnapshotInfo;
    return asFile(reply, info.name)
      .header("content-length", info.bytes)
      .send(Readable.from(parts, { objectMode: false }));
  };
  const recover = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name = "" } = request.params as Parameters;
    const one = shardOf(request);
    if (one !== undefined) await service(request).checkShard(name, one);
    const body = (request.body as Buffer | undefined)?.toString("utf8") ?? "";
    const { location, checksum, apiKey } = readRecovery(body);
    const work = service(request).recover(name, location, { checksum, apiKey, shard: one });
    return finish(
      request,
      reply,
      work.then(() => "true"),
    );
  };
  const upload = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name = "" } = request.params as Parameters;
    const one = shardOf(request);
    if (one !== undefined) await service(request).checkShard(name, one);
    const { checksum, priority } = request.query as { readonly checksum?: string; readonly priority?: string };
    checkSnapshotPriority(priority, "query parameters");
    const part = request.isMultipart() ? await request.file() : undefined;
    if (part === undefined)
      throw badInput("Bad request: a multipart form with the file `snapshot` is needed", "snapshot");
    try {
      await service(request).recoverFromBytes(name, part.file, { checksum });
    } finally {
      part.file.resume();
    }
    return finish(request, reply, Promise.resolve("true"));
  };
  const list = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name } = request.params as Parameters;
    const infos = await service(request).list(name, shardOf(request));
    return ok(request, reply, `[${infos.map(snapshotJson).join(",")}]`);
  };
  const create = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name } = request.params as Parameters;
    return finish(request, reply, service(request).create(name, undefined, shardOf(request)).then(snapshotJson));
  };
  const remove = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name, snapshot = "" } = request.params as Parameters;
    const work = service(request).delete(name, snapshot, shardOf(request));
    return finish(
      request,
      reply,
      work.then(() => "true"),
    );
  };
  const handlers: Readonly<Record<SnapshotRoute["work"], typeof download>> = {
    list,
    create,
    stream,
    download,
    remove,
    recover,
    upload,
  };
  for (const { method, url, work } of snapshotRoutes) app.route({ method, url, handler: handlers[work] });
}

function snapshotJson({ name, createdMs, bytes, checksum }: SnapshotInfo): string {
  const time = new Date(createdMs).toISOString().slice(0, 19);
  return JSON.stringify({ name, creation_time: time, size: bytes, checksum: checksum ?? null });
}

/** Undefined where the path names none. */
function shardOf(request: FastifyRequest): number | undefined {
  const { shard: given } = request.params as Parameters;
  if (given === undefined) return undefined;
  if (!/^\d{1,9}$/.test(given)) throw badInput("Format error in path parameters: shard_id is no number", "shard_id");
  return Number(given);
}
