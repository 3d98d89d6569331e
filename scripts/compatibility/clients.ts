/** Runs the common table (test/compat/table.json) through each of Qdrant's own clients, and writes what came of it as a part of the page. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { grpcSteps, restSteps, type Steps } from "./js-clients.ts";

const execute = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const compat = join(root, "test/compat");
const python = join(root, ".venv/bin/python");

export interface Target {
  readonly grpcPort: number;
  readonly httpPort: number;
}

export interface TableClient {
  readonly title: string;
  /** A reason why it cannot run here. */
  readonly missing: () => Promise<string | undefined>;
  /** The answers by row; a row that the client has no call for is not there. */
  readonly run: (target: Target) => Promise<ReadonlyMap<string, string>>;
}

export const table: readonly { readonly name: string; readonly answer: string }[] = JSON.parse(
  readFileSync(join(compat, "table.json"), "utf8"),
);

async function runCommand(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  try {
    const options = { cwd, env: { ...process.env, ...env }, timeout: 600_000, maxBuffer: 16 << 20 };
    return (await execute(command, args, options)).stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")}\n${stdout.slice(-2_000)}\n${stderr.slice(-4_000)}`, { cause: error });
  }
}

/** Lines `name TAB answer`, after `head`. */
function readAnswers(printed: string, head: string): Map<string, string> {
  const answers = new Map<string, string>();
  for (const line of printed.split("\n")) {
    if (!line.startsWith(head)) continue;
    const [name = "", answer] = line.slice(head.length).split("\t");
    if (answer !== undefined && answer !== "-") answers.set(name, answer);
  }
  return answers;
}

async function runSteps(steps: Steps): Promise<Map<string, string>> {
  const answers = new Map<string, string>();
  for (const { name } of table) {
    const step = steps[name];
    if (step !== undefined) answers.set(name, await step());
  }
  return answers;
}

const never = async (): Promise<undefined> => undefined;
const noPython = async (): Promise<string | undefined> =>
  existsSync(python) ? undefined : "there is no .venv: make setup";
const missingCommand = (command: string, flag: string) => async (): Promise<string | undefined> => {
  const found = await execute(command, [flag]).catch(() => undefined);
  return found === undefined ? `${command} is not on the PATH` : undefined;
};

const script = join(compat, "table.py");
const rust = join(compat, "rust");
/** Kept beside the other tools: the first build takes minutes. */
export const cargoEnv = { CARGO_TARGET_DIR: join(root, ".tools/rust-target") };

/** They come from crates.io once, and then from cargo's own cache. */
async function missingCrates(): Promise<string | undefined> {
  const found = await execute("cargo", ["fetch", "--locked"], { cwd: rust, timeout: 300_000 }).catch(() => undefined);
  return found === undefined ? "its crates cannot be fetched" : undefined;
}

export const tableClients: readonly TableClient[] = [
  {
    title: "Python, gRPC",
    missing: noPython,
    run: async ({ grpcPort }) => readAnswers(await runCommand(python, [script, `127.0.0.1:${grpcPort}`], root), ""),
  },
  {
    title: "Python, REST",
    missing: noPython,
    run: async ({ grpcPort, httpPort }) =>
      readAnswers(await runCommand(python, [script, `127.0.0.1:${grpcPort}`, String(httpPort)], root), ""),
  },
  { title: "JavaScript, gRPC", missing: never, run: ({ grpcPort }) => runSteps(grpcSteps(grpcPort)) },
  { title: "JavaScript, REST", missing: never, run: ({ httpPort }) => runSteps(restSteps(httpPort)) },
  {
    title: "Go",
    missing: missingCommand("go", "version"),
    run: async ({ grpcPort }) => {
      const args = ["test", "-count=1", "-v", "-run", "TestTable", "."];
      const env = { SEALPOINT_TEST_GRPC: `127.0.0.1:${grpcPort}` };
      return readAnswers(await runCommand("go", args, join(compat, "go"), env), "row\t");
    },
  },
  {
    title: "Rust",
    missing: async () => (await missingCommand("cargo", "--version")()) ?? (await missingCrates()),
    run: async ({ grpcPort }) => {
      const args = ["run", "--quiet", "--locked", "--", `http://127.0.0.1:${grpcPort}`];
      return readAnswers(await runCommand("cargo", args, rust, cargoEnv), "");
    },
  },
];

/** By client, the rows that it has no call for. What it has answered as the table says: clients.test.ts sees to it. */
export type Outcomes = Readonly<Record<string, readonly string[]>>;

export const outcomesPath = join(compat, "table-outcomes.json");

export function clientsPart(): string {
  const outcomes: Outcomes = JSON.parse(readFileSync(outcomesPath, "utf8"));
  const titles = Object.keys(outcomes);
  const cells = (name: string) => titles.map((title) => (outcomes[title]?.includes(name) ? "-" : "works"));
  return [
    `| | ${titles.join(" | ")} |`,
    `|---|${titles.map(() => "---|").join("")}`,
    ...table.map(({ name }) => `| ${name} | ${cells(name).join(" | ")} |`),
  ].join("\n");
}
