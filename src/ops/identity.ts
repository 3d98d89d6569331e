/** What the server calls itself: to Qdrant's clients by title and API version (they warn about any other), to people by its own. */
import { readFileSync } from "node:fs";

export const serverTitle = "qdrant - vector search engine";
/** The Qdrant API that this server speaks. */
export const apiVersion = "1.19.0";

/** Sealpoint's own version; package.json stands two folders up, from src and from dist alike. */
export const productVersion: string = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;
