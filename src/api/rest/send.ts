/** Answers on their way out: short ones at once, long ones piece by piece, packed for whoever accepts it. */
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { createGzip, gzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import { limits } from "../../core/index.ts";

const gzipAsync = promisify(gzip);
const level = 1;
const acceptsGzip = /\b(?:gzip|\*)(?!\s*;\s*q=0(?:\.0*)?(?:\s*,|$))/;

/** `pieces`: JSON, none of them much longer than limits.restPieceChars. */
export async function sendAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  pieces: readonly string[],
): Promise<FastifyReply> {
  reply.type("application/json");
  const accepted = request.headers["accept-encoding"];
  const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const packs = size >= limits.restPackedBytesMin && typeof accepted === "string" && acceptsGzip.test(accepted);
  if (packs) reply.header("content-encoding", "gzip").header("vary", "accept-encoding");
  if (size <= 2 * limits.restPieceChars) {
    const text = pieces.join("");
    return reply.send(packs ? await gzipAsync(text, { level }) : text);
  }
  const source = Readable.from(bytesOf(pieces), { objectMode: false });
  if (!packs) return reply.send(source);
  // zlib works on threads of its own, a piece at a time.
  const packed = createGzip({ level });
  source.on("error", (error) => packed.destroy(error));
  return reply.send(source.pipe(packed));
}

function* bytesOf(pieces: readonly string[]): Generator<Buffer> {
  let open = "";
  for (const piece of pieces) {
    open += piece;
    if (open.length < limits.restPieceChars) continue;
    yield Buffer.from(open);
    open = "";
  }
  if (open !== "") yield Buffer.from(open);
}
