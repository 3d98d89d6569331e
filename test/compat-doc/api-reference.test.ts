/** docs/api is what proto/ and the table of routes say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeApiReference, uncommented } from "../../scripts/api-reference.ts";
import { routes } from "../../src/api/rest/routes.ts";

const root = join(import.meta.dirname, "../..");

test("the pages are current", () => {
  const made = makeApiReference();
  expect([...made.keys()]).toEqual(["docs/api/sealpoint.md", "docs/api/qdrant.md"]);
  // Otherwise: node scripts/api-reference.ts
  for (const [path, text] of made) expect(text === readFileSync(join(root, path), "utf8"), path).toBe(true);
  // Every route stands in one of them, and every link leads somewhere.
  const all = [...made.values()].join("\n");
  for (const { method, url } of routes) expect(all).toContain(`${method} \`${url.replaceAll(/:(\w+)/g, "{$1}")}\``);
  for (const [path, text] of made) {
    for (const [, file, place] of text.matchAll(/\]\(([\w.]*)#([\w]+)\)/g)) {
      const there = file === "" ? text : (made.get(`docs/api/${file}`) ?? "");
      const heads = [...there.matchAll(/^### (.+)$/gm)].map(([, name = ""]) => name.toLowerCase().replaceAll(".", ""));
      expect(heads.includes(place as string), `${path}: ${file}#${place}`).toBe(true);
    }
  }
});

test("every call and field of ours is explained", () => {
  expect(uncommented()).toEqual([]);
});
