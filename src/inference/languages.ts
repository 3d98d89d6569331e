/** The languages that Qdrant's options may name, with its short names. */

/** Of stop words. */
const languages: Readonly<Record<string, string>> = {
  arabic: "ar",
  azerbaijani: "az",
  basque: "eu",
  bengali: "bn",
  catalan: "ca",
  chinese: "zh",
  danish: "da",
  dutch: "nl",
  english: "en",
  finnish: "fi",
  french: "fr",
  german: "de",
  greek: "el",
  hebrew: "he",
  hinglish: "hi-en",
  hungarian: "hu",
  indonesian: "id",
  italian: "it",
  japanese: "jp",
  kazakh: "kk",
  nepali: "ne",
  norwegian: "no",
  portuguese: "pt",
  romanian: "ro",
  russian: "ru",
  slovene: "sl",
  spanish: "es",
  swedish: "sv",
  tajik: "tg",
  turkish: "tr",
};

/** Of Snowball's stemmers. */
const stemmed: Readonly<Record<string, string>> = {
  arabic: "ar",
  armenian: "hy",
  danish: "da",
  dutch: "nl",
  english: "en",
  finnish: "fi",
  french: "fr",
  german: "de",
  greek: "el",
  hungarian: "hu",
  italian: "it",
  norwegian: "no",
  portuguese: "pt",
  romanian: "ro",
  russian: "ru",
  spanish: "es",
  swedish: "sv",
  tamil: "ta",
  turkish: "tr",
};

function lookup(names: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(names).flatMap(([name, short]) => [
      [name, name],
      [short, name],
    ]),
  );
}

/** The full name by either name. */
export const stopwordLanguages = lookup(languages);
export const stemmerLanguages = lookup(stemmed);
