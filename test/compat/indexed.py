"""A collection that is large enough for a graph, against the in-memory mode of Qdrant's own Python client.

    .venv/bin/python test/compat/indexed.py 127.0.0.1:6334 [--seed N] [--written]

Points are written, overwritten, updated and deleted in both, then asked through filters of every selectivity: exact searches must agree, the others
must find nearly all, and every score must be exact. With --written the server already has the points of that seed, from before it was killed.
"""

import argparse
import random
import time
import warnings

import numpy as np
from qdrant_client import QdrantClient, models

SIZE, DIMENSIONS, QUERIES, TOP = 8_000, 24, 30, 10
NAME = "indexed"


def made(rng, numbers, n, version):
    payload = {"n": n, "tag": f"t{n % 50}", "price": round(rng.uniform(0, 100), 3), "version": version}
    return models.PointStruct(id=n, vector=numbers.normal(size=DIMENSIONS).astype(np.float32).tolist(), payload=payload)


def write(client, seed):
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    vectors = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
    client.create_collection(NAME, vectors_config=vectors, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=100))
    for field, schema in (("n", "integer"), ("tag", "keyword"), ("price", "float")):
        client.create_payload_index(NAME, field, field_schema=schema, wait=True)
    for start in range(0, SIZE, 1000):
        client.upsert(NAME, [made(rng, numbers, n, 1) for n in range(start, start + 1000)], wait=True)
    client.upsert(NAME, [made(rng, numbers, n, 2) for n in rng.sample(range(SIZE), 1500)], wait=True)
    client.delete(NAME, points_selector=rng.sample(range(SIZE), 1000), wait=True)
    client.set_payload(NAME, {"marked": True}, points=models.Filter(must=[in_range("n", 3000, 5000)]), wait=True)


def in_range(key, low, high):
    return models.FieldCondition(key=key, range=models.Range(gte=low, lt=high))


def random_filter(rng):
    share = rng.choice([0.001, 0.01, 0.05, 0.15, 0.3, 0.7])
    kind = rng.randrange(5)
    if kind == 0:
        return None
    if kind == 1:
        start = rng.uniform(0, 1 - share) * SIZE
        return models.Filter(must=[in_range("n", start, start + share * SIZE)])
    if kind == 2:
        tags = [f"t{t}" for t in rng.sample(range(50), max(1, int(share * 50)))]
        return models.Filter(must=[models.FieldCondition(key="tag", match=models.MatchAny(any=tags))])
    if kind == 3:
        marked = models.FieldCondition(key="marked", match=models.MatchValue(value=True))
        return models.Filter(must_not=[marked], must=[in_range("price", 0, 100 * share)])
    return models.Filter(must=[models.FieldCondition(key="version", match=models.MatchValue(value=2))])


def wait_until_indexed(client):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        info = client.get_collection(NAME)
        if info.status == models.CollectionStatus.GREEN and info.indexed_vectors_count > SIZE * 0.5:
            return info.indexed_vectors_count
        time.sleep(0.1)
    raise AssertionError(f"not indexed after 60 s: {info}")


def compare(server, local, seed):
    rng, numbers = random.Random(seed + 1), np.random.default_rng(seed + 1)
    everything = models.Filter(must_not=[models.HasIdCondition(has_id=[])])
    assert server.count(NAME).count == local.count(NAME).count
    assert server.count(NAME, count_filter=everything).count == local.count(NAME).count
    found = wanted = 0
    for _ in range(QUERIES):
        vector, chosen = numbers.normal(size=DIMENSIONS).astype(np.float32).tolist(), random_filter(rng)
        assert server.count(NAME, count_filter=chosen).count == local.count(NAME, count_filter=chosen).count, chosen
        truth = local.query_points(NAME, query=vector, query_filter=chosen, limit=SIZE).points
        scores = {hit.id: (hit.score, hit.payload) for hit in truth}
        for exact in (True, False):
            parameters = models.SearchParams(exact=exact, hnsw_ef=128)
            hits = server.query_points(NAME, query=vector, query_filter=chosen, limit=TOP, search_params=parameters).points
            assert len(hits) == min(TOP, len(truth)), (exact, len(hits), len(truth), chosen)
            assert len({hit.id for hit in hits}) == len(hits) and hits == sorted(hits, key=lambda hit: -hit.score)
            for rank, hit in enumerate(hits):
                assert hit.id in scores, f"{hit.id} does not match {chosen}"
                score, payload = scores[hit.id]
                assert abs(hit.score - score) <= 1e-4 and hit.payload == payload, (hit, score, payload)
                assert not exact or abs(hit.score - truth[rank].score) <= 1e-4, (rank, hit, truth[rank])
            if not exact:
                wanted += len(hits)
                found += len({hit.id for hit in hits} & {hit.id for hit in truth[:TOP]})
    return found / wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--written", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Local mode|Payload indexes")
    print(f"seed {options.seed}", flush=True)
    host, port = options.target.rsplit(":", 1)
    server = QdrantClient(host=host, grpc_port=int(port), prefer_grpc=True, check_compatibility=False, timeout=60)
    local = QdrantClient(":memory:")
    write(local, options.seed)
    if not options.written:
        write(server, options.seed)
    indexed = wait_until_indexed(server)
    recall = compare(server, local, options.seed)
    print(f"indexed {indexed}, recall {recall:.4f}")
    assert recall >= 0.97, recall


if __name__ == "__main__":
    main()
