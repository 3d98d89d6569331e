/** What `verify` and `repair` share: running the native check and printing what it found. */
import type { DataReport, Finding } from "../native/index.ts";

/** Exit codes of both commands; 0 is a clean folder, or one that repair made clean. */
export const exitDamaged = 1;
export const exitCannotRun = 2;

/** Findings printed; --json has them all. */
const printedMax = 50;

const kindWords: Record<Finding["kind"], string> = {
  loss: "LOST",
  derived: "derived",
  leftover: "leftover",
};

/** Runs the check, prints its report and sets the exit code. */
export async function runDataCheck(dataDir: string, repair: boolean, json: boolean): Promise<DataReport | undefined> {
  // Loaded here, so that the other commands need no addon.
  const { checkData } = await import("../native/index.ts");
  let report: DataReport;
  try {
    report = await checkData(dataDir, repair);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (json) process.stdout.write(`${JSON.stringify({ error: text })}\n`);
    else process.stderr.write(`sealpoint: ${text}\n`);
    process.exitCode = exitCannotRun;
    return undefined;
  }
  const left = report.findings.filter((finding) => !finding.repaired).length + report.more;
  if (left > 0) process.exitCode = exitDamaged;
  process.stdout.write(
    json ? `${JSON.stringify({ dataDir, clean: left === 0, ...report }, null, 2)}\n` : textOf(report, left),
  );
  return report;
}

function textOf(report: DataReport, left: number): string {
  const lines = report.collections.map(({ name, points, vectors, segments, rows }) => {
    const own = report.findings.filter((finding) => finding.collection === name).length;
    const found = own === 0 ? "ok" : `${own} found`;
    return `${name}: ${points} points, ${vectors} vectors, ${segments} segments with ${rows} rows: ${found}`;
  });
  for (const { kind, repaired, collection, point, text } of report.findings.slice(0, printedMax)) {
    const where = [collection, point === undefined ? undefined : `point ${point}`].filter((part) => part !== undefined);
    lines.push(
      `${repaired ? "repaired" : kindWords[kind]}: ${where.length === 0 ? "" : `${where.join(", ")}: `}${text}`,
    );
  }
  const hidden = report.findings.length - printedMax + report.more;
  if (hidden > 0) lines.push(`and ${hidden} more (--json lists ${report.findings.length})`);
  if (report.movedTo !== undefined) lines.push(`leftovers were moved to ${report.movedTo}`);
  const repaired = report.findings.length - (left - report.more);
  if (report.findings.length === 0) lines.push("clean");
  else if (left === 0) lines.push(`${repaired} repaired, nothing is left`);
  else lines.push(repaired === 0 ? `${left} found` : `${repaired} repaired, ${left} cannot be repaired`);
  return `${lines.join("\n")}\n`;
}
