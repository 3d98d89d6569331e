/** Snapshot files over HTTP, which gRPC has not: download, upload and recovery from a URL. */
import { Readable } from "node:stream";
import multipart from "@fastify/multipart";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Access, badInput, limits } from "../../core/index.ts";
import type { SnapshotsService } from "../../services/index.ts";
import { readRecovery } from "../../wire/index.ts";

export type SnapshotsFor = (access: Access) => SnapshotsService;

interface Parameters {
  readonly name?: string;
  readonly snapshot?: string;
}

export const snapshotRoutes = [
  { method: "GET", url: "/collections/:name/snapshots/:snapshot", summary: "Download a collection's snapshot" },
  { method: "GET", url: "/snapshots/:snapshot", summary: "Download a snapshot of the whole storage" },
  { method: "PUT", url: "/collections/:name/snapshots/recover", summary: "Recover from the snapshot that a URL names" },
  { method: "POST", url: "/collections/:name/snapshots/upload", summary: "Recover from an uploaded snapshot" },
] as const;

/** `ok`: the answer around a result. */
export async function serveSnapshotFiles(
  app: FastifyInstance,
  snapshotsFor: SnapshotsFor,
  accessOf: (request: FastifyRequest) => Access,
  ok: (request: FastifyRequest, reply: FastifyReply, result: string) => FastifyReply,
): Promise<void> {
  await app.register(multipart, { limits: { files: 1, fileSize: limits.snapshotBytesMax } });

  const download = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name, snapshot = "" } = request.params as Parameters;
    const { info, read } = await snapshotsFor(accessOf(request)).download(name, snapshot);
    return reply
      .header("content-disposition", `attachment; filename="${info.name.replace(/[^\w.-]/g, "_")}"`)
      .header("content-length", info.bytes)
      .type("application/octet-stream")
      .send(Readable.from(read(0), { objectMode: false }));
  };
  const recover = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name = "" } = request.params as Parameters;
    const body = (request.body as Buffer | undefined)?.toString("utf8") ?? "";
    const { location, checksum, apiKey } = readRecovery(body);
    await snapshotsFor(accessOf(request)).recover(name, location, { checksum, apiKey });
    return ok(request, reply, "true");
  };
  const upload = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name = "" } = request.params as Parameters;
    const part = request.isMultipart() ? await request.file() : undefined;
    if (part === undefined)
      throw badInput("Bad request: a multipart form with the file `snapshot` is needed", "snapshot");
    const { checksum } = request.query as { readonly checksum?: string };
    try {
      await snapshotsFor(accessOf(request)).recoverFromBytes(name, part.file, { checksum });
    } finally {
      part.file.resume();
    }
    return ok(request, reply, "true");
  };
  const [collectionFile, fullFile, recovery, uploads] = snapshotRoutes;
  app.get(collectionFile.url, download);
  app.get(fullFile.url, download);
  app.put(recovery.url, recover);
  app.post(uploads.url, upload);
}
