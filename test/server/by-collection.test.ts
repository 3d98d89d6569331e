/** Figures by collection are of those that were used last, and of none that nobody has. */
import { expect, test } from "vitest";
import { limits } from "../../src/core/index.ts";
import { ByCollection } from "../../src/ops/by-collection.ts";

const most = limits.metricsCollectionsMax;

function filled(): ByCollection<{ calls: number }> {
  const book = new ByCollection(() => ({ calls: 0 }));
  for (let i = 0; i < most; i++) book.of(`c${i}`, true);
  return book;
}

test("the one that was not used for the longest time gives way", () => {
  const book = filled();
  // Used again and again, once not found, and first of all: the names that came after it are older now.
  for (let i = 0; i < 3; i++) expect(book.of("c0", i !== 1)).toBeDefined();
  book.of("new", true);
  expect(book.all().size).toBe(most);
  expect(["c0", "c1", "c2", "new"].map((name) => book.all().has(name))).toEqual([true, false, true, true]);
  book.of("c2", true);
  book.of("newer", true);
  expect(["c0", "c2", "c3", "new", "newer"].map((name) => book.all().has(name))).toEqual([
    true,
    true,
    false,
    true,
    true,
  ]);
});

test("a name that was not found is counted where it is known, and pushes nothing out", () => {
  const book = filled();
  for (let i = 0; i < 2 * most; i++) expect(book.of(`nobody${i}`, false)).toBeUndefined();
  expect([...book.all().keys()]).toEqual(Array.from({ length: most }, (_, i) => `c${i}`));
  expect(book.of("c7", false)).toBe(book.all().get("c7"));
});

test("figures stay with their name, whichever was used last", () => {
  const book = filled();
  for (const name of ["c1", "c1", "c2", "c1", "c3", "c3"]) (book.of(name, true) as { calls: number }).calls += 1;
  const calls = ["c1", "c2", "c3", "c4"].map((name) => book.all().get(name)?.calls);
  expect(calls).toEqual([3, 1, 2, 0]);
});
