/** Qdrant's requests that put a snapshot in place of a collection. */
import { badInput } from "../../core/index.ts";
import { missing, parseJson, toText } from "./parse.ts";
import { part } from "./read.ts";

/** Which replica wins where there are several: Qdrant's values, of which none changes anything with one node. */
const snapshotPriorities = ["no_sync", "snapshot", "replica", "shard_transfer"];

/** Throws bad_input. */
export function checkSnapshotPriority(given: string | undefined, where: "JSON body" | "query parameters"): void {
  if (given === undefined || snapshotPriorities.includes(given)) return;
  const known = snapshotPriorities.map((one) => `\`${one}\``).join(", ");
  throw badInput(`Format error in ${where}: priority: unknown variant, expected one of ${known}`, "priority");
}

/** The body of a recovery from a snapshot. Throws bad_input. */
export function readRecovery(body: string): {
  readonly location: string;
  readonly checksum?: string;
  readonly apiKey?: string;
} {
  const json = parseJson(body);
  const text = (key: string): string | undefined => {
    const value = part(json, key);
    return value === undefined ? undefined : toText(value, key);
  };
  checkSnapshotPriority(text("priority"), "JSON body");
  return { location: text("location") ?? missing("location"), checksum: text("checksum"), apiKey: text("api_key") };
}
