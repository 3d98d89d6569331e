"""Relevance feedback through Qdrant's own Python client, over gRPC and REST, against scores that are computed here from the formula.

    .venv/bin/python test/compat/feedback.py 127.0.0.1:6334 6333 [--seed N]

Dense vectors of every distance, named ones, sparse ones (with IDF and without), multivectors; filters, thresholds, prefetches, batches, groups,
examples by id, by vector and of another collection; and what is refused.
"""

import argparse
import math
import random
import secrets
from itertools import permutations

import grpc
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

POINTS, SIZE = 60, 6


class Data:
    """What the collection holds, and the similarity of each of its points with an example."""

    def __init__(self, rng):
        self.rng = rng
        self.dense = {name: [self.row() for _ in range(POINTS)] for name in ("cosine", "dot", "euclid", "manhattan")}
        self.multi = [[self.row() for _ in range(rng.randrange(1, 4))] for _ in range(POINTS)]
        self.sparse = [{i: rng.uniform(0.1, 2) for i in rng.sample(range(8), rng.randrange(1, 6))} for _ in range(POINTS)]

    def row(self):
        return [round(self.rng.uniform(-2, 2), 3) for _ in range(SIZE)]

    def vectors(self, point):
        made = {name: rows[point] for name, rows in self.dense.items()}
        words = models.SparseVector(indices=list(self.sparse[point]), values=list(self.sparse[point].values()))
        return {**made, "rows": self.multi[point], "words": words, "rare": words}

    def stored(self, using, point):
        if using == "rows":
            return self.multi[point]
        return self.sparse[point] if using in ("words", "rare") else self.dense[using][point]

    def fresh(self, using):
        if using == "rows":
            return [self.row() for _ in range(self.rng.randrange(1, 4))]
        return dict(self.sparse[0]) if using in ("words", "rare") else self.row()

    def idf(self, index):
        has = sum(index in words for words in self.sparse)
        return math.log((POINTS - has + 0.5) / (has + 0.5) + 1)

    def similarity(self, using, example, point):
        """None: a sparse vector without a dimension of any example is no candidate of a nearest search, but has similarity 0 here."""
        held = self.stored(using, point)
        if using in ("words", "rare"):
            return sum(value * held[i] * (self.idf(i) if using == "rare" else 1) for i, value in example.items() if i in held)
        if using == "rows":
            return sum(max(float(np.dot(a, b)) for b in held) for a in example)
        a, b = np.array(example), np.array(held)
        if using == "dot":
            return float(a @ b)
        if using == "cosine":
            return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        return -float(((a - b) ** 2).sum() if using == "euclid" else np.abs(a - b).sum())

    def scores(self, using, target, feedback, a, b, c):
        """By point, as Qdrant's documentation has the naive strategy: every ordered pair of which the first was scored higher."""
        found = {}
        for point in range(POINTS):
            score = a * self.similarity(using, target, point)
            for (better, high), (worse, low) in permutations(feedback, 2):
                if high > low:
                    score += (high - low) ** b * c * (self.similarity(using, better, point) - self.similarity(using, worse, point))
            found[point] = score
        return found


def given(vector):
    return models.SparseVector(indices=list(vector), values=list(vector.values())) if isinstance(vector, dict) else vector


def feedback_query(target, items, a, b, c):
    return models.RelevanceFeedbackQuery(
        relevance_feedback=models.RelevanceFeedbackInput(
            target=target,
            feedback=[models.FeedbackItem(example=example, score=score) for example, score in items],
            strategy=models.NaiveFeedbackStrategy(naive=models.NaiveFeedbackStrategyParams(a=a, b=b, c=c)),
        )
    )


def same(what, hits, expected):
    """`expected`: scores by id, of all that may be found."""
    want = sorted(expected.items(), key=lambda one: -one[1])[: len(hits)]
    assert len(hits) == len(want) and len({hit.id for hit in hits}) == len(hits), (what, hits, want)
    for hit, (_, score) in zip(hits, want):
        near = 1e-4 * max(1.0, abs(score))
        assert abs(hit.score - score) < near and abs(hit.score - expected[hit.id]) < near, (what, hit, expected[hit.id], score)


def random_queries(client, name, data, rng):
    for using in ("cosine", "dot", "euclid", "manhattan", "rows", "words", "rare"):
        for _ in range(6):
            ids = rng.sample(range(POINTS), 4)
            # Equal scores make no pair, and one example none at all.
            items = [(ids[n] if rng.random() < 0.5 else None, rng.choice([0.1, 0.5, 0.5, 0.9, -0.3])) for n in range(rng.randrange(1, 5))]
            a, b, c = rng.choice([0, 0.12, 1.0]), rng.choice([0, 0.43, 1.5]), rng.choice([0.16, -0.5, 2])
            vectors = [(data.stored(using, point) if point is not None else data.fresh(using), score) for point, score in items]
            asked = [(given(vector) if point is None else point, score) for (point, _), (vector, score) in zip(items, vectors)]
            by_id = rng.random() < 0.5
            target = data.stored(using, 59) if by_id else data.fresh(using)
            scores = data.scores(using, target, vectors, a, b, c)
            without = {point for point, _ in items} | ({59} if by_id else set())
            left = {point: score for point, score in scores.items() if point not in without}
            query = feedback_query(59 if by_id else given(target), asked, a, b, c)
            same(using, client.query_points(name, query=query, using=using, limit=POINTS).points, left)
            # A page of what a filter leaves, and what a threshold cuts off.
            even = models.Filter(must=[models.FieldCondition(key="even", match=models.MatchValue(value=True))])
            half = {point: score for point, score in left.items() if point % 2 == 0}
            page = client.query_points(name, query=query, using=using, query_filter=even, limit=5, offset=2).points
            whole = client.query_points(name, query=query, using=using, query_filter=even, limit=7).points
            same(f"{using}, filtered", whole, half)
            assert [hit.id for hit in page] == [hit.id for hit in whole[2:]], (page, whole)
            middle = sorted(left.values())[len(left) // 2] - 1e-3
            above = {point: score for point, score in left.items() if score > middle}
            if all(abs(score - middle) > 1e-4 for score in left.values()):
                cut = client.query_points(name, query=query, using=using, score_threshold=middle, limit=POINTS).points
                assert len(cut) == len(above), (using, cut, above)
                same(f"{using}, threshold", cut, above)


def places(client, name, data):
    """In prefetches, over prefetches, in batches and in groups; the examples of a stage are left out of all."""
    items = [(data.dense["dot"][3], 0.9), (data.dense["dot"][4], 0.2)]
    target = data.row()
    scores = data.scores("dot", target, items, 0.5, 1, 1)
    query = feedback_query(target, items, 0.5, 1, 1)
    by_id = feedback_query(target, [(3, 0.9), (4, 0.2)], 0.5, 1, 1)
    everything = client.query_points(name, query=query, using="dot", limit=POINTS).points
    same("vectors", everything, scores)
    left = {point: score for point, score in scores.items() if point not in (3, 4)}
    best = client.query_points(name, query=[1.0] * SIZE, using="cosine", limit=10).points
    over = client.query_points(name, prefetch=models.Prefetch(query=[1.0] * SIZE, using="cosine", limit=10), query=query, using="dot", limit=10).points
    same("rescored", over, {hit.id: scores[hit.id] for hit in best})
    fused = client.query_points(name, prefetch=[models.Prefetch(query=by_id, using="dot", limit=5)], query=models.FusionQuery(fusion=models.Fusion.RRF), limit=9).points
    assert [hit.id for hit in fused] == sorted(left, key=lambda point: -left[point])[:5], fused
    requests = [models.QueryRequest(query=one, using="dot", limit=5) for one in (query, by_id)]
    first, second = client.query_batch_points(name, requests)
    same("batch", first.points, scores)
    same("batch by id", second.points, left)
    groups = client.query_points_groups(name, query=by_id, using="dot", group_by="parity", group_size=2, limit=2).groups
    assert {group.id for group in groups} == {0, 1}, groups
    for group in groups:
        assert len(group.hits) == 2, group
        same("group", group.hits, {point: score for point, score in left.items() if point % 2 == group.id})


def looked_up(client, name, data):
    """Examples of another collection: its ids are no ids of the one that is searched."""
    other = f"{name}-other"
    client.create_collection(other, vectors_config={"there": models.VectorParams(size=SIZE, distance=models.Distance.DOT)})
    try:
        rows = [data.row() for _ in range(3)]
        client.upsert(other, [models.PointStruct(id=n, vector={"there": row}) for n, row in enumerate(rows)], wait=True)
        query = feedback_query(0, [(1, 0.8), (2, 0.3)], 1, 2, 0.7)
        where = models.LookupLocation(collection=other, vector="there")
        found = client.query_points(name, query=query, using="dot", lookup_from=where, limit=POINTS).points
        same("lookup_from", found, data.scores("dot", rows[0], [(rows[1], 0.8), (rows[2], 0.3)], 1, 2, 0.7))
    finally:
        client.delete_collection(other)


def one_example(client, name, data):
    """Without a pair the target alone decides, and a = 1 gives what the nearest search gives."""
    row = data.row()
    for using in ("dot", "cosine"):
        alone = client.query_points(name, query=feedback_query(row, [(data.row(), 0.85)], 1, 100, 100), using=using, limit=5).points
        nearest = client.query_points(name, query=row, using=using, limit=5, search_params=models.SearchParams(exact=True)).points
        assert [hit.id for hit in alone] == [hit.id for hit in nearest], (alone, nearest)
        assert all(abs(one.score - other.score) < 1e-6 for one, other in zip(alone, nearest)), (alone, nearest)


def refusals(client, name, rest):
    row = [0.5] * SIZE
    body = "Validation error in JSON body: [internal." if rest else "Validation error in body: ["
    cases = [
        (feedback_query(row, [(10_000, 0.8)], 1, 1, 1), "Not found: No point with id 10000 found"),
        (feedback_query(10_000, [(1, 0.8)], 1, 1, 1), "Not found: No point with id 10000 found"),
        (feedback_query(row, [], 1, 1, 1), "feedback elements must be non-empty"),
        (feedback_query(row, [(1, 0.8)], 1, -1, 1), f"{body}query.relevance_feedback.strategy.naive.b: value -1.0 invalid, must be 0.0 or larger]"),
        # The validator keeps a float32 as a double.
        (feedback_query(row, [(1, 0.8)], 1, -0.1, 1), f"{body}query.relevance_feedback.strategy.naive.b: value -0.10000000149011612 invalid, must be 0.0 or larger]"),
        (feedback_query(row, [([1.0], 0.8)], 1, 1, 1), f"Wrong input: Vector dimension error: expected dim: {SIZE}, got 1"),
        (feedback_query(row[1:], [(1, 0.8)], 1, 1, 1), f"Wrong input: Vector dimension error: expected dim: {SIZE}, got {SIZE - 1}"),
        (feedback_query(row, [(models.SparseVector(indices=[1], values=[1]), 0.8)], 1, 1, 1), "Wrong input: Conversion between sparse and regular vectors failed"),
    ]
    for query, text in cases:
        try:
            client.query_points(name, query=query, using="dot")
        except UnexpectedResponse as refused:
            assert rest and refused.status_code in (400, 404, 422) and text in refused.content.decode(), (text, refused)
        except grpc.RpcError as refused:
            assert refused.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND) and text in refused.details(), (text, refused)
        else:
            raise AssertionError(f"taken: {text}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("rest", type=int)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    arguments = parser.parse_args()
    host, port = arguments.target.rsplit(":", 1)
    print("seed", arguments.seed)
    for prefer_grpc in (True, False):
        rng = random.Random(arguments.seed)
        data = Data(rng)
        client = QdrantClient(host=host, port=arguments.rest, grpc_port=int(port), prefer_grpc=prefer_grpc, check_compatibility=False)
        name = f"feedback-{secrets.token_hex(6)}"
        of = lambda distance, **more: models.VectorParams(size=SIZE, distance=distance, **more)  # noqa: E731
        vectors = {name: of(getattr(models.Distance, name.upper())) for name in data.dense}
        vectors["rows"] = of(models.Distance.DOT, multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM))
        words = {"words": models.SparseVectorParams(), "rare": models.SparseVectorParams(modifier=models.Modifier.IDF)}
        client.create_collection(name, vectors_config=vectors, sparse_vectors_config=words)
        try:
            points = [models.PointStruct(id=n, vector=data.vectors(n), payload={"even": n % 2 == 0, "parity": n % 2}) for n in range(POINTS)]
            client.upsert(name, points, wait=True)
            client.create_payload_index(name, "even", field_schema="bool", wait=True)
            random_queries(client, name, data, rng)
            places(client, name, data)
            looked_up(client, name, data)
            one_example(client, name, data)
            refusals(client, name, rest=not prefer_grpc)
        finally:
            client.delete_collection(name)
    print("feedback agrees")


if __name__ == "__main__":
    main()
