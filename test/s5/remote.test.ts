/** S5 asked from another thread: a search whose caller has gone ends there, too. */
import { MessageChannel } from "node:worker_threads";
import { expect, it, onTestFinished } from "vitest";
import type { Cancellation } from "../../src/core/index.ts";
import { ThreadPort } from "../../src/ops/index.ts";
import { RemoteS5, type S5Backend, type SessionQuery, serveS5 } from "../../src/s5/index.ts";

const query: SessionQuery = { vector: Float32Array.of(1, 2), k: 3 };

function connected(search: S5Backend["search"]): RemoteS5 {
  const { port1, port2 } = new MessageChannel();
  const [main, other] = [new ThreadPort(port1), new ThreadPort(port2)];
  serveS5(main, { search } as S5Backend);
  onTestFinished(() => {
    main.close();
    other.close();
    port1.close();
    port2.close();
  });
  return new RemoteS5(other);
}

const until = async (cancellation: Cancellation | undefined): Promise<void> => {
  while (cancellation?.aborted !== true) await new Promise((go) => setTimeout(go, 5));
};

it("is told when its caller goes, and not before", async () => {
  const abort = new AbortController();
  let seen: Cancellation | undefined;
  const remote = connected(async (_, asked, cancellation) => {
    expect(asked).toEqual(query);
    seen = cancellation;
    await until(cancellation);
    cancellation?.throwIfAborted();
    throw new Error("it went on");
  });
  const searching = remote.search("one", query, abort.signal);
  searching.catch(() => undefined);
  await expect.poll(() => seen).toBeDefined();
  await new Promise((go) => setTimeout(go, 60));
  expect(seen?.aborted).toBe(false);
  abort.abort();
  await expect(searching).rejects.toMatchObject({ kind: "cancelled" });
});

it("is answered as ever, with and without somebody to ask", async () => {
  const answer = { hits: [{ id: "a", score: 0.5, metadata: "{}" }], partial: false, percent: 100 };
  const remote = connected(async () => answer);
  expect(await remote.search("one", query)).toEqual(answer);
  expect(await remote.search("one", query, new AbortController().signal)).toEqual(answer);
});

it("leaves no timer behind", async () => {
  const remote = connected(async () => {
    throw new Error("no");
  });
  const before = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  await expect(remote.search("one", query, new AbortController().signal)).rejects.toThrow();
  expect(process.getActiveResourcesInfo().filter((name) => name === "Timeout").length).toBe(before);
});
