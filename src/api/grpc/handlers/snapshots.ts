/** qdrant.Snapshots. */
import { Snapshots } from "../../../../gen/qdrant/snapshots_service_pb.js";
import type { SnapshotInfo } from "../../../engine/index.ts";
import type { SnapshotsService } from "../../../services/index.ts";
import { bindService, type ServiceBinding, unary } from "../call.ts";
import { secondsSince } from "./common.ts";

function toDescription({ name, createdMs, bytes, checksum }: SnapshotInfo) {
  return {
    name,
    creationTime: { seconds: BigInt(Math.floor(createdMs / 1_000)), nanos: 0 },
    size: BigInt(bytes),
    ...(checksum === undefined ? {} : { checksum }),
  };
}

export function bindSnapshots(snapshots: SnapshotsService): ServiceBinding {
  const create = async (collection: string | undefined) => {
    const startMs = performance.now();
    const info = await snapshots.create(collection);
    return { snapshotDescription: toDescription(info), time: secondsSince(startMs) };
  };
  const list = async (collection: string | undefined) => {
    const startMs = performance.now();
    const infos = await snapshots.list(collection);
    return { snapshotDescriptions: infos.map(toDescription), time: secondsSince(startMs) };
  };
  const remove = async (collection: string | undefined, snapshot: string) => {
    const startMs = performance.now();
    await snapshots.delete(collection, snapshot);
    return { time: secondsSince(startMs) };
  };
  return bindService(Snapshots, {
    create: unary(({ collectionName }) => create(collectionName)),
    list: unary(({ collectionName }) => list(collectionName)),
    delete: unary(({ collectionName, snapshotName }) => remove(collectionName, snapshotName)),
    createFull: unary(() => create(undefined)),
    listFull: unary(() => list(undefined)),
    deleteFull: unary(({ snapshotName }) => remove(undefined, snapshotName)),
  });
}
