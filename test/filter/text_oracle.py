"""Makes test/filter/text-cases.jsonl: text filters over small collections, with the answer of Qdrant's own engine (qdrant-edge).

    python3 -m venv /tmp/edge && /tmp/edge/bin/pip install qdrant-edge-py==0.9.0
    /tmp/edge/bin/python test/filter/text_oracle.py [seed [collections]] > test/filter/text-cases.jsonl

Each line: the parameters of the text index as REST takes them (null: no index), its field, payloads (ids from 1), and filters with the ids
that they find. Left out is what is known to differ: the tokenizer `multilingual`, whose words of unspaced scripts come from dictionaries.
"""

import json
import random
import shutil
import sys
import tempfile

import qdrant_edge as q

WORDS = """quick Quick brown the The fox foxes dog running runs run über Über naïve Straße ação don't e-mail und der Hund привет Мир A b 42 3.14
qui quickly a_b""".split()
TOKENIZERS = {"word": q.TokenizerType.Word, "whitespace": q.TokenizerType.Whitespace, "prefix": q.TokenizerType.Prefix}
MATCHES = {"text": q.MatchText, "text_any": q.MatchTextAny, "phrase": q.MatchPhrase, "prefix": q.MatchPrefix}
LANGUAGES = {"english": q.Language.English, "german": q.Language.German}
STEMMERS = {"english": q.SnowballLanguage.English, "german": q.SnowballLanguage.German}


def text(rng, most):
    return rng.choice([" ", " ", ", ", "  "]).join(rng.choice(WORDS) for _ in range(rng.randrange(most + 1)))


def value(rng):
    kind = rng.randrange(8)
    if kind < 5:
        return text(rng, 6)
    if kind < 7:
        return [rng.choice([text(rng, 4), text(rng, 4), 7, None]) for _ in range(rng.randrange(4))]
    return rng.choice([None, 5, True, {"x": "quick"}])


def payload(rng):
    out = {}
    if rng.random() < 0.9:
        out["t"] = value(rng)
    if rng.random() < 0.6:
        out["n"] = [{"t": value(rng)} if rng.random() < 0.9 else {"u": 1} for _ in range(rng.randrange(4))]
    return out


def parameters(rng):
    """As REST has them and as the engine does."""
    if rng.random() < 0.2:
        return None, None
    rest, edge = {"type": "text"}, {}
    tokenizer = rng.choice(list(TOKENIZERS))
    rest["tokenizer"], edge["tokenizer"] = tokenizer, TOKENIZERS[tokenizer]
    for name, values in (("min_token_len", [1, 2, 3]), ("max_token_len", [3, 4, 10])):
        if rng.random() < 0.3:
            rest[name] = edge[name] = rng.choice(values)
    for name in ("lowercase", "ascii_folding", "phrase_matching"):
        if rng.random() < 0.5:
            rest[name] = edge[name] = rng.random() < (0.2 if name == "lowercase" else 0.8)
    if rng.random() < 0.4:
        language, custom = rng.choice(list(LANGUAGES)), rng.choice([[], ["fox", "Dog"]])
        rest["stopwords"] = {"languages": [language], "custom": custom} if custom else language
        edge["stopwords"] = q.StopwordsSet(languages={LANGUAGES[language]}, custom=set(custom))
    if rng.random() < 0.4:
        language = rng.choice(list(STEMMERS))
        rest["stemmer"] = {"type": "snowball", "language": language}
        edge["stemmer"] = q.SnowballParams(STEMMERS[language])
    return rest, q.TextIndexParams(**edge)


def main():
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 60):
        folder = tempfile.mkdtemp()
        shard = q.EdgeShard.create(folder + "/s", q.EdgeConfig(vectors=q.EdgeVectorParams(size=1, distance=q.Distance.Dot)))
        rest, edge = parameters(rng)
        field = rng.choice(["t", "t", "n[].t"])
        if edge is not None:
            shard.update(q.UpdateOperation.create_field_index(field, edge))
        payloads = [payload(rng) for _ in range(25)]
        shard.update(q.UpdateOperation.upsert_points([q.Point(id=i + 1, vector=[1.0], payload=p) for i, p in enumerate(payloads)]))
        filters = []
        for _ in range(30):
            match = rng.choice(list(MATCHES))
            asked = text(rng, 3)
            nested = rng.random() < 0.3
            # A phrase within a nested filter contradicts itself there when its index keeps no phrases.
            if nested and match == "phrase" and field == "n[].t" and rest is not None and not rest.get("phrase_matching"):
                continue
            key = "t" if nested else rng.choice(["t", "n[].t"])
            condition = q.FieldCondition(key=key, match=MATCHES[match](asked))
            as_rest = {"key": key, "match": {match: asked}}
            if nested:
                condition = q.NestedCondition(key="n", filter=q.Filter(must=[condition]))
                as_rest = {"nested": {"key": "n", "filter": {"must": [as_rest]}}}
            role = rng.choice(["must", "must", "must_not"])
            found = shard.scroll(q.ScrollRequest(limit=100, filter=q.Filter(**{role: [condition]})))[0]
            filters.append({"filter": {role: [as_rest]}, "found": [point.id for point in found]})
        print(json.dumps({"field": field, "params": rest, "payloads": payloads, "filters": filters}, ensure_ascii=False))
        shard.close()
        shutil.rmtree(folder)


main()
