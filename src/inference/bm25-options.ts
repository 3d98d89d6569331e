/** The options of the model qdrant/bm25, as Qdrant's Bm25Config has them. What it does not know it passes over, as Qdrant does. */
import { badInput, limits, type PayloadObject, type PayloadValue } from "../core/index.ts";
import { type Bm25Settings, tokenizerKinds } from "../native/index.ts";
import { stemmerLanguages, stopwordLanguages } from "./languages.ts";

let defaults: Bm25Settings | undefined;

/** Throws bad_input that names the option. Without options it is always the same object. */
export function readBm25Options(options: PayloadObject, field: string): Bm25Settings {
  try {
    return read(options);
  } catch (error) {
    if (!(error instanceof InvalidOption)) throw error;
    throw badInput(`Wrong input: ${error.message}`, `${field}.${error.option}`);
  }
}

function read(options: PayloadObject): Bm25Settings {
  const plain = Object.keys(options).length === 0;
  if (plain && defaults !== undefined) return defaults;
  const k = number(options, "k", 1.2);
  const b = number(options, "b", 0.75);
  const averageLength = number(options, "avg_len", 256);
  // The texts are Qdrant's.
  if (!(k >= 0)) throw outside("k", `k1 must be finite and >= 0, got ${k}`);
  if (!(b >= 0 && b <= 1)) throw outside("b", `b must be finite and in [0.0, 1.0], got ${b}`);
  if (!(averageLength > 0)) throw outside("avg_len", `avg_doc_len must be finite and > 0, got ${averageLength}`);
  const language = text(options, "language") ?? "english";
  const settings: Bm25Settings = {
    k,
    b,
    averageLength,
    tokenizer: readTokenizer(options.tokenizer),
    lowercase: flag(options, "lowercase") ?? true,
    asciiFolding: flag(options, "ascii_folding") ?? false,
    minLength: length(options, "min_token_len"),
    maxLength: length(options, "max_token_len"),
    stemmer: readStemmer(options.stemmer, language),
    ...readStopwords(options.stopwords, language),
  };
  if (plain) defaults = settings;
  return settings;
}

class InvalidOption extends Error {
  readonly option: string;

  constructor(option: string, message: string) {
    super(message);
    this.option = option;
  }
}

function invalid(option: string, what: string): InvalidOption {
  return new InvalidOption(option, `Invalid BM25 config: ${option}: ${what}`);
}

function outside(option: string, what: string): InvalidOption {
  return new InvalidOption(option, `BM25 ${what}`);
}

function number(options: PayloadObject, name: string, otherwise: number): number {
  const value = options[name];
  if (value === undefined) return otherwise;
  const given = typeof value === "bigint" ? Number(value) : value;
  if (typeof given !== "number" || !Number.isFinite(given)) throw invalid(name, "must be a number");
  return given;
}

function text(options: PayloadObject, name: string): string | undefined {
  const value = options[name] ?? undefined;
  if (value !== undefined && typeof value !== "string") throw invalid(name, "must be a text");
  return value;
}

function flag(options: PayloadObject, name: string): boolean | undefined {
  const value = options[name] ?? undefined;
  if (value !== undefined && typeof value !== "boolean") throw invalid(name, "must be true or false");
  return value;
}

function length(options: PayloadObject, name: string): number | undefined {
  const value = options[name] ?? undefined;
  if (value === undefined) return undefined;
  const given = typeof value === "bigint" ? Number(value) : value;
  if (typeof given !== "number" || !Number.isInteger(given) || given < 0) {
    throw invalid(name, "must be a whole number that is not negative");
  }
  return Math.min(given, 0xffff_ffff);
}

function readTokenizer(value: PayloadValue | undefined): Bm25Settings["tokenizer"] {
  if (value === undefined) return "word";
  if (typeof value === "string" && Object.hasOwn(tokenizerKinds, value)) return value as Bm25Settings["tokenizer"];
  throw invalid("tokenizer", "unknown variant, expected one of `prefix`, `whitespace`, `word`, `multilingual`");
}

/** A language that has no stemmer, such as `none`, leaves the tokens as they are. */
function readStemmer(value: PayloadValue | undefined, language: string): string {
  if (value === undefined || value === null) return stemmerLanguages.get(language) ?? "";
  if (isObject(value)) {
    if (value.type === "none") return "";
    const of = typeof value.language === "string" ? stemmerLanguages.get(value.language) : undefined;
    if (value.type === "snowball" && of !== undefined) return of;
  }
  throw invalid(
    "stemmer",
    'must be {"type": "none"} or {"type": "snowball", "language": one of Snowball\'s languages}',
  );
}

function readStopwords(
  value: PayloadValue | undefined,
  language: string,
): Pick<Bm25Settings, "stopwordLanguages" | "stopwords"> {
  if (value === undefined || value === null) {
    const known = stopwordLanguages.get(language);
    return { stopwordLanguages: known === undefined ? [] : [known], stopwords: [] };
  }
  if (typeof value === "string") return { stopwordLanguages: [toLanguage(value)], stopwords: [] };
  if (!isObject(value)) throw invalid("stopwords", "must be a language or a set of languages and custom words");
  const custom = texts(value.custom, "stopwords.custom");
  if (custom.length > limits.bm25StopwordsMax) {
    throw invalid("stopwords.custom", `more than ${limits.bm25StopwordsMax} words`);
  }
  return {
    stopwordLanguages: [...new Set(texts(value.languages, "stopwords.languages").map(toLanguage))],
    stopwords: [...new Set(custom)],
  };
}

function toLanguage(name: string): string {
  const known = stopwordLanguages.get(name);
  if (known === undefined) throw invalid("stopwords", `unknown language ${JSON.stringify(name.slice(0, 64))}`);
  return known;
}

function texts(value: PayloadValue | undefined, option: string): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every((one) => typeof one === "string")) {
    throw invalid(option, "must be a list of texts");
  }
  return value;
}

function isObject(value: PayloadValue): value is PayloadObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
