/** Parameters of a text index, checked as Qdrant checks them and in the form in which it shows them. */
import { create } from "@bufbuild/protobuf";
import {
  StemmingAlgorithmSchema,
  StopwordsSetSchema,
  type TextIndexParams,
  TextIndexParamsSchema,
  TokenizerType,
} from "../../gen/qdrant/collections_pb.js";
import { badInput, limits } from "../core/index.ts";

/** Qdrant's languages of stop words and their codes; the addon has the same in text/languages.cc. */
const stopwordCodes =
  "ar arabic az azerbaijani eu basque bn bengali ca catalan zh chinese da danish nl dutch en english fi finnish fr french de german " +
  "el greek he hebrew hi-en hinglish hu hungarian id indonesian it italian jp japanese kk kazakh ne nepali no norwegian pt portuguese " +
  "ro romanian ru russian sl slovene es spanish sv swedish tg tajik tr turkish";
const stemmerCodes =
  "ar arabic hy armenian da danish nl dutch en english fi finnish fr french de german el greek hu hungarian it italian no norwegian " +
  "pt portuguese ro romanian ru russian es spanish sv swedish ta tamil tr turkish";

/** Names and codes, each to the name. */
function languages(codes: string): ReadonlyMap<string, string> {
  const words = codes.split(" ");
  const known = new Map<string, string>();
  for (let i = 0; i + 1 < words.length; i += 2) {
    const name = words[i + 1] as string;
    known.set(words[i] as string, name).set(name, name);
  }
  return known;
}

const stopwordLanguages = languages(stopwordCodes);
const stemmerLanguages = languages(stemmerCodes);

/** Throws bad_input with Qdrant's texts. Languages get their full names, and sets are sorted, as Qdrant keeps them. */
export function checkTextParams(
  params: TextIndexParams,
  field = "field_index_params.text_index_params",
): TextIndexParams {
  if (params.tokenizer === TokenizerType.Unknown || TokenizerType[params.tokenizer] === undefined) {
    throw badInput("unknown tokenizer type", `${field}.tokenizer`);
  }
  const { $typeName: _, stopwords, stemmer, ...rest } = params;
  return create(TextIndexParamsSchema, {
    ...rest,
    ...(stopwords === undefined ? {} : { stopwords: checkStopwords(stopwords, `${field}.stopwords`) }),
    ...(stemmer === undefined ? {} : { stemmer: checkStemmer(stemmer, `${field}.stemmer`) }),
  });
}

function checkStopwords(set: NonNullable<TextIndexParams["stopwords"]>, field: string) {
  const names = set.languages.map((language) => {
    const name = stopwordLanguages.get(language);
    if (name === undefined) {
      const known = [...new Set(stopwordLanguages.values())].map((one) => `\`${one}\``).join(", ");
      throw badInput(
        `unknown language: unknown variant \`${language}\`, expected one of ${known}`,
        `${field}.languages`,
      );
    }
    return name;
  });
  const bytes = set.custom.reduce((sum, word) => sum + Buffer.byteLength(word), 0);
  if (set.custom.length > limits.stopwordsMax || bytes > limits.stopwordsMax * 64) {
    throw badInput(`no more than ${limits.stopwordsMax} custom stop words`, `${field}.custom`);
  }
  return create(StopwordsSetSchema, { languages: sorted(names), custom: sorted(set.custom) });
}

function sorted(words: readonly string[]): string[] {
  return [...new Set(words)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

function checkStemmer(stemmer: NonNullable<TextIndexParams["stemmer"]>, field: string) {
  const { stemmingParams: one } = stemmer;
  if (one.case !== "snowball") return stemmer;
  const { language: given } = one.value;
  const language = stemmerLanguages.get(given);
  if (language === undefined)
    throw badInput(`Language ${JSON.stringify(given)} not found.`, `${field}.snowball.language`);
  return create(StemmingAlgorithmSchema, { stemmingParams: { case: "snowball", value: { language } as never } });
}
