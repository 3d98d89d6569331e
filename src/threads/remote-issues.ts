/** Issues of a thread that serves: the main one keeps the book. */
import type { IssueSink, UnindexedField } from "../engine/index.ts";
import type { ThreadPort } from "../ops/index.ts";

const report = "report issue";
const solve = "solve issues";

export class RemoteIssues implements IssueSink {
  readonly #main: ThreadPort;

  constructor(main: ThreadPort) {
    this.#main = main;
  }

  report(field: UnindexedField): void {
    this.#main.tell(report, field);
  }

  solve(collection: string, key?: string): void {
    this.#main.tell(solve, { collection, key });
  }
}

/** The other side. */
export function serveIssues(port: ThreadPort, sink: IssueSink): void {
  port.on(report, (field: UnindexedField) => sink.report(field));
  port.on(solve, ({ collection, key }: { collection: string; key?: string }) => sink.solve(collection, key));
}
