/** Cuts a stream of concatenated JSON values, as grpcurl prints for a stream of answers, into the text of each. */
import { StringDecoder } from "node:string_decoder";

/** Objects and lists only: what a tool prints one after the other. Throws when the input ends inside a value. */
export async function* splitJsonStream(input: AsyncIterable<Uint8Array>): AsyncIterable<string> {
  const decoder = new StringDecoder("utf8");
  let text = "";
  let scanned = 0;
  let start = -1;
  let depth = 0;
  let inString = false;
  let escaped = false;
  for await (const chunk of input) {
    text += decoder.write(Buffer.from(chunk));
    for (; scanned < text.length; scanned++) {
      const character = text[scanned] as string;
      if (inString) {
        if (escaped) escaped = false;
        else if (character === "\\") escaped = true;
        else if (character === '"') inString = false;
        continue;
      }
      if (character === '"' && depth > 0) inString = true;
      else if (character === "{" || character === "[") {
        if (depth === 0) start = scanned;
        depth += 1;
      } else if (character === "}" || character === "]") {
        depth -= 1;
        if (depth < 0) throw new Error(`the input is not JSON: unexpected ${character}`);
        if (depth === 0) {
          yield text.slice(start, scanned + 1);
          text = text.slice(scanned + 1);
          scanned = -1;
        }
      } else if (depth === 0 && !/\s/.test(character)) {
        throw new Error(`the input is not a stream of JSON objects: unexpected ${JSON.stringify(character)}`);
      }
    }
  }
  if (depth > 0) throw new Error("the input ends inside a JSON value");
}
