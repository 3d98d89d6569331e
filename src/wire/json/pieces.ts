/** A long text in pieces: a door sends them one by one, so that nobody ever joins, copies or packs all of it at once. */
import { limits } from "../../core/index.ts";

export class Pieces {
  readonly #done: string[] = [];
  #open: string[] = [];
  #size = 0;

  push(text: string): this {
    this.#open.push(text);
    this.#size += text.length;
    if (this.#size >= limits.restPieceChars) this.#close();
    return this;
  }

  finish(): readonly string[] {
    if (this.#size > 0) this.#close();
    return this.#done;
  }

  #close(): void {
    this.#done.push(this.#open.join(""));
    this.#open = [];
    this.#size = 0;
  }
}
