/** A hub over a real engine, and short ways to ask it. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, onTestFinished } from "vitest";
import { fullAccess } from "../../src/core/index.ts";
import { SealedIndexes } from "../../src/engine/embedded/index.ts";
import { AttachmentTable } from "../../src/engine/index.ts";
import { type S5Config, s5ConfigDefault } from "../../src/ops/index.ts";
import { type LoadEvent, type LoadRequest, S5Hub, type S5HubOptions, type SessionIndexes } from "../../src/s5/index.ts";
import { owner, type TestDatabase } from "./database.ts";

export const engineFolder = mkdtempSync(join(tmpdir(), "sealpoint-s5-engine-"));
afterAll(() => rmSync(engineFolder, { recursive: true, force: true }));

/** Indexes that are open: each has a folder until it is closed. */
export const openIndexes = (): number => readdirSync(engineFolder).length;

export const engineIndexes: SessionIndexes = new SealedIndexes({
  folder: engineFolder,
  attachments: new AttachmentTable(),
  collectionExists: async () => false,
});

export function makeHub(config: Partial<S5Config>, options: Partial<S5HubOptions> = {}): S5Hub {
  const hub = new S5Hub({
    config: { ...s5ConfigDefault, ...config },
    indexes: engineIndexes,
    databases: { backoffMs: 5 },
    ...options,
  });
  onTestFinished(() => hub.closeAll());
  return hub;
}

export function requestOf(database: TestDatabase, sessionId: string, rest: Partial<LoadRequest> = {}): LoadRequest {
  return {
    target: { kind: "session", sessionId },
    manifestPath: database.manifestPath,
    userAddress: owner,
    sessionKey: Uint8Array.from(database.key),
    access: fullAccess,
    ...rest,
  };
}

export interface Told {
  readonly events: LoadEvent[];
  /** What the iteration ended with. */
  readonly error: unknown;
}

export async function collect(events: AsyncGenerator<LoadEvent>): Promise<Told> {
  const told: LoadEvent[] = [];
  try {
    for await (const event of events) told.push(event);
    return { events: told, error: undefined };
  } catch (error) {
    return { events: told, error };
  }
}

export const kinds = ({ events }: Told): string[] => events.map(({ kind }) => kind);
