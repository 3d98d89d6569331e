"""Writes bm25.json: BM25's vectors as Qdrant makes them, by qdrant-edge-py (pip install qdrant-edge-py==0.9.0), which has the server's own code.

Each case: options as a Document has them, a text, the document's and the query's terms with their weights.
"""

import json
import os
import sys

import qdrant_edge as q

TEXTS = [
    "Hello World",
    "The quick brown foxes were running, jumping & leaping over the lazy dogs' fences!",
    "don't can't it's O'Neil's e-mail: someone@example.org v1.2.3 x_y",
    "  a  b\tc\n123 4,567.89 ½ ²  ",
    "café naïve façade ÅNGSTRÖM straße ﬁnd İstanbul ΟΔΥΣΣΕΥΣ",
    "Привет, мир! Быстрые коричневые лисы прыгают",
    "日本語のテキスト 中文文本 한국어",
    "naïve naive NAIVE hello hello hello the the",
    "université générations nationales continuellement",
    "Häuser Kinder schnellsten Autobahnen und die Straßen",
    "",
    "the and of",
]
W = q.TokenizerType
OPTIONS = [
    {},
    {"k": 2.0, "b": 0.3, "avg_len": 5.0},
    {"k": 0.0},
    {"b": 0.0},
    {"tokenizer": "whitespace"},
    {"tokenizer": "multilingual"},
    {"tokenizer": "prefix", "max_token_len": 5},
    {"tokenizer": "prefix", "min_token_len": 2, "stemmer": {"type": "none"}},
    {"language": "german"},
    {"language": "fr"},
    {"language": "russian"},
    {"language": "turkish"},
    {"language": "kazakh"},
    {"language": "spanish", "ascii_folding": True},
    {"lowercase": False},
    {"ascii_folding": True},
    {"stopwords": {"languages": [], "custom": ["hello", "WORLD"]}},
    {"stopwords": {"languages": ["english", "de"], "custom": ["fox"]}},
    {"stopwords": "french"},
    {"stemmer": {"type": "none"}},
    {"stemmer": {"type": "snowball", "language": "french"}},
    {"min_token_len": 3, "max_token_len": 6},
]
SHORT = {"de": "german", "fr": "french"}


def language(name):
    return getattr(q.Language, SHORT.get(name, name).capitalize())


def stopwords(given):
    if isinstance(given, str):
        return language(given)
    return q.StopwordsSet({language(one) for one in given["languages"]}, set(given["custom"]))


def stemmer(given):
    if given["type"] == "none":
        return q.DisabledStemmer()
    return q.SnowballParams(getattr(q.SnowballLanguage, given["language"].capitalize()))


def model(options):
    change = {"tokenizer": lambda one: getattr(W, one.capitalize()), "stopwords": stopwords, "stemmer": stemmer}
    return q.Bm25(q.Bm25Config(**{key: change.get(key, lambda one: one)(value) for key, value in options.items()}))


def terms(vector):
    return sorted([index, round(value, 7)] for index, value in zip(vector.indices, vector.values))


def main():
    lines = []
    for options in OPTIONS:
        made = model(options)
        for text in TEXTS:
            # Chinese and Japanese have no spaces: Qdrant cuts them by dictionaries that are not ours.
            if options.get("tokenizer") == "multilingual" and "日本" in text:
                continue
            case = {"options": options, "text": text, "document": terms(made.embed_document(text)), "query": [one for one, _ in terms(made.embed_query(text))]}
            lines.append(json.dumps(case, ensure_ascii=False, separators=(",", ":")))
    path = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "bm25.json")
    with open(path, "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(lines) + "\n]\n")


main()
