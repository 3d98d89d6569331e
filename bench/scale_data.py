"""Makes a data set of N points for bench/sections/scale.ts in the load generator's form: the real vectors of wordnet, and beyond these the same
with Gaussian noise of 0.02 a dimension, seeded; exact neighbours of 1,000 queries by brute force. Does nothing when the folder has it already.

    python bench/scale_data.py SOURCE TARGET POINTS
"""

import gzip
import json
import pathlib
import sys

import numpy as np

DIMENSIONS, QUERIES, NEIGHBOURS, NOISE, CHUNK = 384, 1000, 100, 0.02, 50_000


def main() -> None:
    source, target, points = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    parameters = {"points": points, "queries": QUERIES, "noise": NOISE, "version": 1}
    done = target / "done.json"
    if done.exists() and json.loads(done.read_text()) == parameters:
        return
    target.mkdir(parents=True, exist_ok=True)
    real = np.fromfile(source / "vectors.f16", dtype=np.float16).reshape(-1, DIMENSIONS)
    queries = np.fromfile(source / "queries.f16", dtype=np.float16).reshape(-1, DIMENSIONS)[:QUERIES]
    queries.tofile(target / "queries.f16")
    wanted = queries.astype(np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    best_scores = np.full((len(queries), NEIGHBOURS), -2, dtype=np.float32)
    best_rows = np.zeros((len(queries), NEIGHBOURS), dtype=np.uint32)
    with (target / "vectors.f16").open("wb") as out:
        for first in range(0, points, CHUNK):
            rows = np.arange(first, min(points, first + CHUNK))
            chunk = real[rows % len(real)].astype(np.float32)
            fresh = rows >= len(real)
            random = np.random.default_rng([7, first])
            noise = random.normal(0, NOISE, chunk.shape).astype(np.float32)
            chunk[fresh] += noise[fresh]
            # What is stored is what is searched: exactness is judged on the rounded values.
            stored = chunk.astype(np.float16)
            stored.tofile(out)
            values = stored.astype(np.float32)
            values /= np.linalg.norm(values, axis=1, keepdims=True)
            scores = np.concatenate([best_scores, wanted @ values.T], axis=1)
            ids = np.concatenate([best_rows, np.broadcast_to(rows.astype(np.uint32), (len(queries), len(rows)))], axis=1)
            top = np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
            best_scores, best_rows = np.take_along_axis(scores, top, 1), np.take_along_axis(ids, top, 1)
    order = np.argsort(-best_scores, axis=1, kind="stable")
    np.take_along_axis(best_rows, order, 1).astype("<u4").tofile(target / "neighbors.u32")
    with gzip.open(source / "payloads.jsonl.gz", "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    with gzip.open(target / "payloads.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as out:
        for row in range(points):
            out.write(json.dumps({**documents[row % len(documents)], "id": row}) + "\n")
    (target / "filters.json").write_text('{"filters": []}')
    done.write_text(json.dumps(parameters))


main()
