/** What `make bench` prints and writes: figures in tables, our bars with passed or missed, and the machine they ran on. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";

/** A Qdrant 1.18.3 server on the same data and kind of machine (facts/measured.md); not measured in this run. */
export const qdrant = { ingestPerSecond: 30_800, searchMicros: 779, searchRecall: 0.9935, residentMegabytes: 359 };

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly bound: number;
  /** "min": the value must reach the bound; "max": it must not exceed it. */
  readonly kind: "min" | "max";
  readonly unit: string;
}

export function isPassed({ value, bound, kind }: Bar): boolean {
  // Written so that NaN never passes.
  return kind === "min" ? value >= bound : value <= bound;
}

export function formatNumber(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  if (Math.abs(value) >= 100) return value.toFixed(0);
  if (Math.abs(value) >= 10) return value.toFixed(1);
  return value.toFixed(3).replace(/\.?0+$/, "");
}

export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head, ...rows.map((row) => row.map((cell) => (typeof cell === "number" ? formatNumber(cell) : cell)))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const [first, ...rest] = cells as string[][];
  return [line(first ?? []), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...rest.map(line)].join(
    "\n",
  );
}

export function barTable(bars: readonly Bar[]): string {
  return table(
    ["bar", "measured", "bound", "measured / bound", ""],
    bars.map((bar) => [
      bar.name,
      `${formatNumber(bar.value)} ${bar.unit}`,
      `${bar.kind === "min" ? ">=" : "<="} ${formatNumber(bar.bound)} ${bar.unit}`,
      (bar.value / bar.bound).toFixed(2),
      isPassed(bar) ? "passed" : "MISSED",
    ]),
  );
}

function firstLine(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split("\n")[0] ?? "";
  } catch {
    return "unknown";
  }
}

/** When, on which commit, on what machine and under what load: one line. */
export function describeRun(): string {
  const flags = /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" ") ?? [];
  const simd = ["avx2", "avx512f", "avx512_vnni"].filter((flag) => flags.includes(flag)).join(", ");
  const load = readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ");
  const memory = Math.round(totalmem() / 1024 ** 3);
  return `${new Date().toISOString().slice(0, 16)}Z, commit ${firstLine("git", ["rev-parse", "--short", "HEAD"])}; ${cpus()[0]?.model ?? "unknown CPU"}, ${availableParallelism()} cores, ${memory} GB, ${simd || "no AVX2"}; Linux ${release()}, Node ${process.versions.node}, ${firstLine("go", ["version"])}; load before: ${load}.`;
}
