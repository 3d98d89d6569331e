/**
 * Keeps what the sections measured in bench/results.json, each with when, where and on which commit it ran, and writes bench/RESULTS.md
 * from it: a run of some sections replaces only those.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Section, SectionResult } from "./bench.ts";
import { barTable, isPassed } from "./report.ts";
import { root } from "./server.ts";

interface KeptSection extends SectionResult {
  /** When, commit, machine and its load: one line. */
  readonly ran: string;
}

type Kept = Record<string, KeptSection>;

const jsonPath = join(root, "bench/results.json");
const textPath = join(root, "bench/RESULTS.md");

function readKept(): Kept {
  return existsSync(jsonPath) ? (JSON.parse(readFileSync(jsonPath, "utf8")) as Kept) : {};
}

/** Markdown of all kept sections in the order of `sections`, the bars of all of them first. */
function render(sections: readonly Section[], kept: Kept): string {
  const there = sections.flatMap((section) => {
    const result = kept[section.name];
    return result === undefined ? [] : [{ section, result }];
  });
  const bars = there.flatMap(({ result }) => result.bars);
  const missed = bars.filter((bar) => !isPassed(bar)).length;
  const summary =
    missed === 0
      ? `All ${bars.length} bars are passed.`
      : `${bars.length - missed} of ${bars.length} bars are passed. What is missed, and the profile that says why: ARCHITECTURE.md, What the figures say.`;
  const parts = there.map(({ section, result }) => `## ${section.title}\n\n${result.ran}\n\n${result.body}`);
  return `# Results of \`make bench\`\n\nServer and client share the cores. Each section says when, on what and at which commit it ran (\`node bench/run.ts SECTION\`).\n\n## Bars\n\n${barTable(bars)}\n\n${summary}\n\n${parts.join("\n\n")}\n`;
}

export function keepResult(sections: readonly Section[], name: string, ran: string, result: SectionResult): void {
  // Read anew each time: another run may have added its own meanwhile. NaN would become null and read as 0: a value that misses stands for it.
  const missing = (kind: "min" | "max") => (kind === "min" ? -1 : 1) * Number.MAX_SAFE_INTEGER;
  const bars = result.bars.map((bar) => ({
    ...bar,
    value: Number.isFinite(bar.value) ? bar.value : missing(bar.kind),
  }));
  const kept = { ...readKept(), [name]: { ran, body: result.body, bars } };
  writeFileSync(jsonPath, `${JSON.stringify(kept, undefined, 2)}\n`);
  writeFileSync(textPath, render(sections, kept));
}
