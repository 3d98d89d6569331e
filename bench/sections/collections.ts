/** 1,000 collections of ten points each in one server: made, restarted, what each takes. */
import type { Bench, SectionResult } from "../bench.ts";
import { callLoadgen, type Timing } from "../loadgen.ts";
import { type Bar, table } from "../report.ts";

export const name = "collections";
export const title = "1,000 collections of 10 points of 384 dimensions";

const collections = 1000;

export async function run(bench: Bench): Promise<SectionResult> {
  return await bench.withServer(async (server) => {
    const empty = await server.memory();
    const flags = { ...bench.dataFlags, documents: 10, collections };
    const made = await callLoadgen<Timing>(server, "many", flags);
    const full = await server.memory();
    await server.stop();
    const readySeconds = await server.start();
    const reopened = await server.memory();
    const gone = await callLoadgen<Timing>(server, "many", { ...flags, drop: true });
    const each = (reopened.anonymousMegabytes - empty.anonymousMegabytes) / collections;
    const head = [
      "made and filled s",
      "server CPU s",
      "anonymous MB",
      "restart to ready s",
      "anonymous MB then",
      "deleted s",
    ];
    const row = [
      made.seconds,
      made.cpu_seconds,
      full.anonymousMegabytes,
      readySeconds,
      reopened.anonymousMegabytes,
      gone.seconds,
    ];
    const bars: Bar[] = [
      { name: "1,000 collections: restart to ready", value: readySeconds, bound: 5, kind: "max", unit: "s" },
      { name: "1,000 collections: memory of each", value: Math.max(each, 0), bound: 1, kind: "max", unit: "MB" },
    ];
    return {
      body: `${table(head, [row])}\n\n16 calls in flight; an empty server takes ${empty.anonymousMegabytes.toFixed(0)} MB.`,
      bars,
    };
  });
}
