/** What is attached, as other threads than the main one know it: asked for once by all calls in flight, and again when it has changed since. */
import { expect, test } from "vitest";
import type { ThreadPort } from "../../src/ops/index.ts";
import { RemoteAttachments } from "../../src/threads/remote-attachments.ts";

/** A main thread that answers when it is told to. */
function start() {
  const changes = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const asked: { readonly answer: () => void; readonly fail: (error: Error) => void }[] = [];
  const call = () =>
    new Promise((resolve, reject) => void asked.push({ answer: () => resolve([]), fail: (error) => reject(error) }));
  const remote = new RemoteAttachments({ call } as unknown as ThreadPort, changes);
  return { remote, asked, change: () => Atomics.add(new Int32Array(changes), 0, 1) };
}

test("calls that meet a change together ask once", async () => {
  const { remote, asked, change } = start();
  expect(remote.isStale).toBe(false);
  change();
  expect(remote.isStale).toBe(true);
  const refreshes = Array.from({ length: 50 }, () => remote.refresh());
  expect(asked).toHaveLength(1);
  asked[0]?.answer();
  expect(await Promise.all(refreshes)).toEqual(Array(50).fill(true));
  expect(remote.isStale).toBe(false);
  // One that has its answer is nobody's any more.
  void remote.refresh();
  expect(asked).toHaveLength(2);
});

test("a call that comes after a further change does not take the answer from before it", async () => {
  const { remote, asked, change } = start();
  change();
  const before = remote.refresh();
  change();
  const after = [remote.refresh(), remote.refresh()];
  expect(asked).toHaveLength(2);
  asked[0]?.answer();
  await before;
  expect(remote.isStale).toBe(true);
  // The one that runs is still shared.
  after.push(remote.refresh());
  expect(asked).toHaveLength(2);
  asked[1]?.answer();
  await Promise.all(after);
  expect(remote.isStale).toBe(false);
});

test("a question that fails is everybody's failure, and asked again by the next", async () => {
  const { remote, asked, change } = start();
  change();
  const refreshes = [remote.refresh(), remote.refresh()];
  asked[0]?.fail(new Error("gone"));
  for (const refresh of refreshes) await expect(refresh).rejects.toThrow("gone");
  expect(remote.isStale).toBe(true);
  const again = remote.refresh();
  expect(asked).toHaveLength(2);
  asked[1]?.answer();
  expect(await again).toBe(true);
  expect(remote.isStale).toBe(false);
});
