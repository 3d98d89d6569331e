/** Peers of our engine in processes of their own, which answer each line that is written to them with a line of JSON. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export class LineProcess {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;
  private errors = "";

  /** `env` goes over this process's environment. */
  constructor(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
    this.child.on("error", (error) => {
      this.errors = error.message;
    });
    // A process that died is told of by the read that follows.
    this.child.stdin?.on("error", () => undefined);
    this.child.stderr?.on("data", (part: Buffer) => {
      this.errors = (this.errors + part.toString("utf8")).slice(-2000);
    });
    if (this.child.stdout === null) throw new Error("no output");
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** The next object that it prints; throws the last line of its errors when it has ended. */
  async read<T>(): Promise<T> {
    for (;;) {
      const { done, value } = await this.lines.next();
      if (done === true) throw new Error(this.errors.trim().split("\n").at(-1) ?? "ended");
      if (value.startsWith("{")) return JSON.parse(value) as T;
    }
  }

  ask<T>(line: string): Promise<T> {
    this.child.stdin?.write(`${line}\n`);
    return this.read<T>();
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await ended;
  }
}
