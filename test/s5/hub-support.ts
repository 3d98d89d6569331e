/** A hub over a real engine, and short ways to ask it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, onTestFinished } from "vitest";
import { fullAccess } from "../../src/core/index.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";
import { type S5Config, s5ConfigDefault } from "../../src/ops/index.ts";
import {
  exactIndexes,
  type LoadEvent,
  type LoadRequest,
  S5Hub,
  type S5HubOptions,
  type SessionIndexes,
} from "../../src/s5/index.ts";
import { owner, type TestDatabase } from "./database.ts";

const dataDir = mkdtempSync(join(tmpdir(), "sealpoint-s5-engine-"));
const engine = openEmbeddedEngine({ dataDir });
afterAll(async () => {
  await engine.close();
  rmSync(dataDir, { recursive: true, force: true });
});

/** Bytes of vectors that the engine holds for sessions. */
export const nativeBytes = async (): Promise<number> => (await engine.stats()).sessionBytes;

export const engineIndexes: SessionIndexes = exactIndexes((dimensions) => engine.createMemoryIndex(dimensions));

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
