/** BM25's sparse vectors, made by the addon: few texts at once, many on a native thread and in pieces. */
import { limits, type SparseVector } from "../core/index.ts";
import { nativeBm25, nativeBm25Batch } from "./addon.ts";
import { NativeReader, NativeWriter } from "./bytes.ts";

/** native/addon/text/tokenizer.h has the same numbers. */
export const tokenizerKinds = { word: 0, whitespace: 1, multilingual: 2, prefix: 3 } as const;

/** How texts become terms and terms weights. */
export interface Bm25Settings {
  /** How soon more of the same term count no more. */
  readonly k: number;
  /** How much longer texts are held back: 0 not at all, 1 wholly. */
  readonly b: number;
  /** Terms of a usual text. */
  readonly averageLength: number;
  readonly tokenizer: keyof typeof tokenizerKinds;
  readonly lowercase: boolean;
  readonly asciiFolding: boolean;
  /** Characters of the shortest and the longest token. */
  readonly minLength: number | undefined;
  readonly maxLength: number | undefined;
  /** A language of Snowball; "" for none. */
  readonly stemmer: string;
  /** Languages whose stop words are left out. */
  readonly stopwordLanguages: readonly string[];
  readonly stopwords: readonly string[];
}

export interface Bm25Text {
  readonly text: string;
  /** Texts with the same object share what is made of it. */
  readonly settings: Bm25Settings;
}

/** Of queries each term weighs 1; of documents as much as its frequency says. In the order of the texts. */
export async function embedBm25(texts: readonly Bm25Text[], queries: boolean): Promise<SparseVector[]> {
  const vectors: SparseVector[] = [];
  for (let from = 0; from < texts.length; ) {
    // A string takes at most three bytes a unit.
    let bytes = 0;
    let to = from;
    while (to < texts.length && (to === from || bytes < limits.bm25PieceBytes)) {
      bytes += (texts[to] as Bm25Text).text.length;
      to += 1;
    }
    const piece = texts.slice(from, to);
    if (texts.length === piece.length && bytes <= limits.bm25InlineBytes) {
      const writer = NativeWriter.shared();
      readVectors(nativeBm25(writeTexts(writer, piece, queries)), piece.length, vectors);
      writer.wipe();
    } else {
      const writer = NativeWriter.reusing(bytes + 1_024);
      readVectors(await nativeBm25Batch(writeTexts(writer, piece, queries)), piece.length, vectors);
      writer.wipe();
      writer.release();
    }
    from = to;
  }
  return vectors;
}

function writeTexts(writer: NativeWriter, texts: readonly Bm25Text[], queries: boolean): Uint8Array {
  const places = new Map<Bm25Settings, number>();
  for (const { settings } of texts) if (!places.has(settings)) places.set(settings, places.size);
  writer.u8(queries ? 1 : 0).u32(places.size);
  for (const settings of places.keys()) writer.blob(encodedSettings(settings));
  writer.u32(texts.length);
  for (const { text, settings } of texts) writer.u32(places.get(settings) as number).text(text);
  return writer.done();
}

const encoded = new WeakMap<Bm25Settings, Uint8Array>();

function encodedSettings(settings: Bm25Settings): Uint8Array {
  const known = encoded.get(settings);
  if (known !== undefined) return known;
  const { minLength, maxLength } = settings;
  const flags =
    (settings.lowercase ? 1 : 0) |
    (settings.asciiFolding ? 2 : 0) |
    (minLength === undefined ? 0 : 4) |
    (maxLength === undefined ? 0 : 8);
  const bytes = new NativeWriter()
    .f64(settings.k)
    .f64(settings.b)
    .f64(settings.averageLength)
    .u8(tokenizerKinds[settings.tokenizer])
    .u8(flags)
    .u32(minLength ?? 0)
    .u32(maxLength ?? 0)
    .text(settings.stemmer)
    .texts(settings.stopwordLanguages)
    .texts(settings.stopwords)
    .done();
  encoded.set(settings, bytes);
  return bytes;
}

function readVectors(answer: ArrayBuffer, count: number, to: SparseVector[]): void {
  const reader = new NativeReader(answer);
  for (let i = 0; i < count; i++) {
    const terms = reader.u32();
    const at = reader.offset;
    to.push({ indices: new Uint32Array(answer, at, terms), values: new Float32Array(answer, at + terms * 4, terms) });
    reader.skip(terms * 8);
  }
}
