/** API keys as both doors check them. */
import { createHash, timingSafeEqual } from "node:crypto";

/** True when one of `keys` was presented. Compares digests, so neither content nor length shows in the time it takes. */
export function createKeyCheck(keys: readonly string[]): (presented: string) => boolean {
  const digests = keys.map(digest);
  return (presented) => {
    const given = digest(presented);
    let matched = false;
    for (const one of digests) matched = timingSafeEqual(one, given) || matched;
    return matched;
  };
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key, "utf8").digest();
}

/** The key in `api-key` or in `authorization: Bearer`. */
export function presentedKey(header: (name: string) => unknown): string | undefined {
  const apiKey = header("api-key");
  if (typeof apiKey === "string") return apiKey;
  const authorization = header("authorization");
  return typeof authorization === "string" ? /^Bearer +(\S+)\s*$/i.exec(authorization)?.[1] : undefined;
}
