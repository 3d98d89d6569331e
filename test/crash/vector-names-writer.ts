/** The process that is killed: adds a vector name, gives it to all points and deletes it, again and again. Says each step once it is acknowledged. */
import { writeSync } from "node:fs";
import { openEmbeddedEngine } from "../../src/engine/embedded/index.ts";

const [dataDir = "", first = "0"] = process.argv.slice(2);
const engine = openEmbeddedEngine({ dataDir });
const echo = (present: string): string => present;
writeSync(1, "ready\n");
for (let round = Number(first); ; round++) {
  const size = 1 + (round % 3);
  await engine.createVectorName("names", "v", { kind: "dense", params: { size, distance: "dot" } }, echo);
  writeSync(1, `${round} made\n`);
  const points = Array.from({ length: 50 }, (_, n) => ({
    id: BigInt(n),
    vectors: [["v", new Float32Array(size).fill(round)]] as const,
  }));
  await engine.write("names", { kind: "update_vectors", points }, { wait: true });
  writeSync(1, `${round} written\n`);
  await engine.deleteVectorName("names", "v", echo);
  writeSync(1, `${round} deleted\n`);
}
