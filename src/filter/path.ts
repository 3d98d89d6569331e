import { badInput, limits } from "../core/index.ts";

// Qdrant's grammar: a key, then `.key`, `[]` and `[n]`. A key is letters, digits, _ and - of any script, or quoted text without \ and ".
const step = /(?:^|(?<!^)\.)(?:[\p{Alphabetic}\p{N}_-]+|"[^"\\]*")|\[(\d*)\]/uy;

const maxIndex = (1n << 64n) - 1n;

/** True when `path` is a JSON path such as `a.b`, `a[].b`, `a[0]` or `"a.b".c`, within the limits. */
export function isJsonPath(path: string): boolean {
  if (path.length === 0 || path.startsWith("[") || Buffer.byteLength(path) > limits.jsonPathBytesMax) return false;
  step.lastIndex = 0;
  for (let items = 0; step.lastIndex < path.length; items++) {
    const found = step.exec(path);
    if (found === null || items === limits.jsonPathItemsMax) return false;
    if (found[1] !== undefined && found[1] !== "" && BigInt(found[1]) > maxIndex) return false;
  }
  return true;
}

/** Throws bad_input that names `field`. */
export function checkJsonPath(path: string, field: string): void {
  if (!isJsonPath(path)) throw badInput(`Invalid json path: ${JSON.stringify(path.slice(0, 64))}`, field);
}
