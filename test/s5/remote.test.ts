/** S5 asked from another thread: a search whose caller has gone ends there, too. */
import { MessageChannel } from "node:worker_threads";
import { expect, it, onTestFinished, vi } from "vitest";
import { type Cancellation, DomainError, limits } from "../../src/core/index.ts";
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

it("looks for all searches by one timer, which goes with the last, and tells each only of its own caller", async () => {
  const [begin, end] = [vi.spyOn(globalThis, "setInterval"), vi.spyOn(globalThis, "clearInterval")];
  onTestFinished(() => void vi.restoreAllMocks());
  const remote = connected(async (sessionId, _, cancellation) => {
    if (sessionId === "refused") throw new Error("no");
    await until(cancellation);
    throw new DomainError("cancelled", sessionId);
  });
  const callers = Array.from({ length: 20 }, () => new AbortController());
  const ended: string[] = [];
  const searches = callers.map(async ({ signal }, number) => {
    await expect(remote.search(String(number), query, signal)).rejects.toMatchObject({ message: String(number) });
    ended.push(String(number));
  });
  await expect(remote.search("refused", query, new AbortController().signal)).rejects.toThrow("no");
  // From the middle, the end and the start: what is left is still looked after.
  for (const number of [7, 19, 0, 18, 3]) {
    callers[number]?.abort();
    await searches[number];
    expect(ended.at(-1)).toBe(String(number));
  }
  expect(ended).toHaveLength(5);
  for (const caller of callers) caller.abort();
  await Promise.all(searches);
  const looks = begin.mock.calls.filter(([, ms]) => ms === limits.cancellationLookMs);
  expect(looks).toHaveLength(1);
  const timer = begin.mock.results[begin.mock.calls.indexOf(looks[0] as never)]?.value as NodeJS.Timeout;
  expect(timer.hasRef()).toBe(false);
  await expect.poll(() => end.mock.calls.some(([ended]) => ended === timer)).toBe(true);
});
