import { badInput, limits } from "../core/index.ts";

// Qdrant's list, and every control character.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const forbidden = /[<>:"/\\|?*\u0000-\u001f\u007f]/u;

/** For names that are made: collections and aliases. They become part of paths and URLs. */
export function checkNewName(name: string, field: string): void {
  if (name === "" || name.length > limits.collectionNameLengthMax) {
    const shown = JSON.stringify(name.slice(0, 32));
    const text = `value ${shown} invalid, must be from 1 to ${limits.collectionNameLengthMax} characters`;
    throw badInput(`Validation error in body: [${field}: ${text}]`, field);
  }
  const found = forbidden.exec(name)?.[0];
  if (found !== undefined || name === "." || name === "..") {
    const shown = JSON.stringify(found ?? name);
    throw badInput(`Validation error in body: [${field}: collection name cannot contain ${shown} char]`, field);
  }
}
