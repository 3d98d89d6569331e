/** Whether a copy is one: counts, every point's payload and vectors, and what searches find. */
import { sealedKey } from "../core/index.ts";
import {
  clientCalls,
  denseOf,
  idText,
  payloadJson,
  type TransferPoint,
  toUpsertPoint,
  vectorNumbers,
} from "../wire/index.ts";
import type { Peer } from "./peer.ts";
import type { Source } from "./transfer-ends.ts";

/** Differences that are named one by one. */
const namedMax = 20;
const searchesMax = 20;
const neighbours = 10;
const overlapMin = 0.9;
/** Vectors of a Cosine collection are normalised again. */
const tolerance = 1e-5;
const enable = { selectorOptions: { case: "enable" as const, value: true } };

/** The number of differences. */
export async function verifyTransfer(
  source: Source,
  peer: Peer,
  collectionName: string,
  { batch, sealed, say }: { readonly batch: number; readonly sealed: boolean; say(text: string): void },
): Promise<number> {
  let differences = 0;
  let compared = 0;
  const differs = (text: string): void => {
    differences += 1;
    if (differences <= namedMax) say(`differs: ${text}`);
  };
  const samples: TransferPoint[] = [];
  const every = Math.max(1, Math.floor(source.count / searchesMax));
  for await (const { points } of source.pages(undefined, batch)) {
    if (points.length === 0) continue;
    const { result } = await peer.ask(clientCalls.get, {
      collectionName,
      ids: points.map(({ id }) => id as NonNullable<typeof id>),
      withPayload: enable,
      withVectors: enable,
    });
    const found = new Map(result.map((point) => [idText(point.id), toUpsertPoint(point)]));
    for (const point of points) {
      if (compared++ % every === 0 && samples.length < searchesMax) samples.push(point);
      const id = idText(point.id);
      const copy = found.get(id);
      if (copy === undefined) differs(`point ${id} is missing`);
      else if (!samePayload(point, copy, sealed)) differs(`payload of point ${id}`);
      else if (!sameVectors(point, copy)) differs(`vectors of point ${id}`);
    }
  }
  const { result: counted } = await peer.ask(clientCalls.count, { collectionName, exact: true });
  if (Number(counted?.count) < compared) differs(`the target has ${counted?.count} points, the source ${compared}`);
  const overlap = await searchOverlap(peer, collectionName, samples);
  if (overlap !== undefined && overlap < overlapMin) differs(`searches overlap by ${Math.round(overlap * 100)} % only`);
  const searches = overlap === undefined ? "" : `; searches overlap by ${Math.round(overlap * 100)} %`;
  say(`${compared} points compared, ${differences} differences${searches}`);
  return differences;
}

function samePayload(point: TransferPoint, copy: TransferPoint, sealed: boolean): boolean {
  if (!sealed || Object.keys(point.payload).length === 0) return payloadJson(point) === payloadJson(copy);
  return Object.hasOwn(copy.payload, sealedKey);
}

function sameVectors(point: TransferPoint, copy: TransferPoint): boolean {
  const [from, to] = [vectorNumbers(point), vectorNumbers(copy)];
  if (from.length !== to.length) return false;
  const same = from.every(
    (value, i) => Math.abs(value - (to[i] as number)) <= tolerance * Math.max(1, Math.abs(value)),
  );
  if (same) return true;
  // A file may hold vectors as they were before a Cosine collection normalised them.
  const length = Math.hypot(...from);
  return from.every((value, i) => Math.abs(value / length - (to[i] as number)) <= tolerance);
}

/** Share of the exact neighbours that the target's own search finds; undefined where nothing is dense. */
async function searchOverlap(
  peer: Peer,
  collectionName: string,
  samples: readonly TransferPoint[],
): Promise<number | undefined> {
  let shared = 0;
  let all = 0;
  for (const sample of samples) {
    const dense = denseOf(sample);
    if (dense === undefined) continue;
    const find = async (exact: boolean): Promise<string[]> => {
      const { result } = await peer.ask(clientCalls.query, {
        collectionName,
        limit: BigInt(neighbours),
        query: {
          variant: {
            case: "nearest",
            value: { variant: { case: "dense", value: { data: dense.data } } },
          },
        },
        ...(dense.using === "" ? {} : { using: dense.using }),
        params: { exact },
      });
      return result.map(({ id }) => idText(id));
    };
    const [near, exact] = [await find(false), new Set(await find(true))];
    shared += near.filter((id) => exact.has(id)).length;
    all += exact.size;
  }
  return all === 0 ? undefined : shared / all;
}
