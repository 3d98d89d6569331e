/** sealpoint.v1.Snapshots. */
import { Snapshots, type SnapshotsRestoreRequest } from "../../../../gen/sealpoint/v1/snapshots_pb.js";
import { badInput } from "../../../core/index.ts";
import type { SnapshotInfo } from "../../../engine/index.ts";
import type { SnapshotsService } from "../../../services/index.ts";
import { bindService, clientStream, type ServiceBinding, serverStream, unary } from "../call.ts";

function toSnapshot({ name, createdMs, bytes, checksum, base }: SnapshotInfo) {
  return {
    name,
    createdMs: BigInt(createdMs),
    size: BigInt(bytes),
    checksum: checksum ?? "",
    ...(base === undefined ? {} : { baseChecksum: base }),
  };
}

/** The files of a restore's messages, each to be read to its end before the next. */
async function* filesOf(
  first: IteratorResult<SnapshotsRestoreRequest>,
  messages: AsyncIterator<SnapshotsRestoreRequest>,
): AsyncGenerator<AsyncGenerator<Uint8Array>> {
  let next = first;
  async function* file(): AsyncGenerator<Uint8Array> {
    for (next = await messages.next(); next.done !== true; next = await messages.next()) {
      const { part } = next.value;
      if (part.case === "nextFile") return;
      if (part.case !== "piece") throw badInput("part: a piece or next_file is expected", "part");
      yield part.value;
    }
  }
  while (next.done !== true) yield file();
}

async function* storedParts(
  { info, read }: Awaited<ReturnType<SnapshotsService["download"]>>,
  offset: bigint,
): AsyncGenerator<SnapshotInfo | Uint8Array> {
  if (offset > BigInt(info.bytes)) throw badInput(`offset: the file has ${info.bytes} bytes`, "offset");
  yield info;
  yield* read(Number(offset));
}

export function bindSnapshotStreams(snapshots: SnapshotsService): ServiceBinding {
  const named = (collection: string): string | undefined => (collection === "" ? undefined : collection);
  return bindService(Snapshots, {
    create: unary(async ({ collectionName, base }) => ({
      snapshot: toSnapshot(await snapshots.create(collectionName, base)),
    })),
    list: unary(async ({ collectionName }) => ({
      snapshots: (await snapshots.list(named(collectionName))).map(toSnapshot),
    })),
    download: serverStream(async function* ({ collectionName, snapshotName, base, offset }, call) {
      const collection = named(collectionName);
      if (snapshotName !== "" && base !== undefined) {
        throw badInput("base: is for a snapshot that is made now, without snapshot_name", "base");
      }
      if (snapshotName === "" && offset !== 0n) {
        throw badInput("offset: is for a snapshot that is there, with snapshot_name", "offset");
      }
      const parts =
        snapshotName === ""
          ? snapshots.downloadNew(collection, base)
          : storedParts(await snapshots.download(collection, snapshotName), offset);
      for await (const part of parts) {
        call.signal.throwIfAborted();
        yield part instanceof Uint8Array
          ? { part: { case: "piece", value: part } }
          : { part: { case: "snapshot", value: toSnapshot(part) } };
      }
    }),
    restore: clientStream(async (requests) => {
      const messages = requests[Symbol.asyncIterator]();
      const first = await messages.next();
      if (first.done === true || first.value.part.case !== "start") throw badInput("start: must come first", "start");
      const { collectionName, checksum } = first.value.part.value;
      await snapshots.recoverFromFiles(collectionName, filesOf(first, messages), { checksum });
      return { collectionName };
    }),
  });
}
