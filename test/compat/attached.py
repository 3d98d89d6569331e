"""A database of S5 that a session has attached, read with Qdrant's own Python client like any collection, and changed by nobody.

    .venv/bin/python test/compat/attached.py 127.0.0.1:6334 HTTP_PORT NAME RECORDS.json [--rest]

RECORDS.json holds the database's records: [{"id", "vector", "metadata": {"word", "n", "score", "tags", ...}}], ids being numbers.
"""

import json
import sys
import warnings

import numpy as np
from grpc import RpcError
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

address, http_port, name, path = sys.argv[1:5]
host, port = address.split(":")
client = QdrantClient(host=host, port=int(http_port), grpc_port=int(port), prefer_grpc="--rest" not in sys.argv, timeout=60)
warnings.simplefilter("error")

with open(path) as file:
    records = json.load(file)
ids = [int(record["id"]) for record in records]
vectors = np.array([record["vector"] for record in records], dtype=np.float32)
unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def best(query, count, among=None):
    scores = unit @ (np.asarray(query, dtype=np.float32) / np.linalg.norm(query))
    order = [row for row in np.argsort(-scores) if among is None or among(records[row]["metadata"])]
    return [(ids[row], float(scores[row])) for row in order[:count]]


def agrees(points, right):
    assert [point.id for point in points] == [id for id, _ in right], (points, right)
    for point, (_, score) in zip(points, right):
        assert abs(point.score - score) < 1e-4, (point, score)


def condition(key, **match):
    return models.FieldCondition(key=key, **match)


assert name in [each.name for each in client.get_collections().collections]
assert client.collection_exists(name)
info = client.get_collection(name)
assert info.points_count == len(records), info
assert info.config.params.vectors.size == vectors.shape[1]
assert info.config.params.vectors.distance == models.Distance.COSINE

# Searches, with filters on the metadata.
filters = [
    (None, None),
    (models.Filter(must=[condition("word", match=models.MatchValue(value=records[3]["metadata"]["word"]))]), lambda m: m["word"] == records[3]["metadata"]["word"]),
    (models.Filter(must=[condition("n", range=models.Range(gte=10, lt=30))]), lambda m: 10 <= m["n"] < 30),
    (models.Filter(must_not=[condition("n", range=models.Range(lt=25))]), lambda m: m["n"] >= 25),
    (models.Filter(should=[condition("n", match=models.MatchAny(any=[1, 7, 40])), condition("n", match=models.MatchValue(value=12))]), lambda m: m["n"] in (1, 7, 12, 40)),
    (models.Filter(must=[condition("tags", match=models.MatchValue(value="a"))]), lambda m: "a" in m["tags"]),
    (models.Filter(must=[condition("missing", match=models.MatchValue(value="a"))]), lambda m: False),
]
for row in (0, len(records) // 2, len(records) - 1):
    for spec, among in filters:
        found = client.query_points(name, query=vectors[row].tolist(), query_filter=spec, limit=7, with_payload=True, with_vectors=True)
        agrees(found.points, best(vectors[row], 7, among))
        for point in found.points:
            record = records[ids.index(point.id)]
            assert point.payload == record["metadata"], (point.payload, record["metadata"])
            assert np.allclose(point.vector, unit[ids.index(point.id)], atol=1e-5)
for spec, among in filters:
    right = len(records) if among is None else sum(among(record["metadata"]) for record in records)
    assert client.count(name, count_filter=spec, exact=True).count == right

# By id, page by page, by examples, in groups and facets.
assert [point.id for point in client.retrieve(name, ids[5:8])] == ids[5:8]
seen, offset = [], None
while True:
    page, offset = client.scroll(name, limit=10, offset=offset, with_payload=True)
    seen += page
    if offset is None:
        break
assert [point.id for point in seen] == sorted(ids)
some, _ = client.scroll(name, scroll_filter=filters[2][0], limit=100)
assert [point.id for point in some] == sorted(ids[row] for row, record in enumerate(records) if 10 <= record["metadata"]["n"] < 30)
only, _ = client.scroll(name, scroll_filter=models.Filter(must=[models.HasIdCondition(has_id=ids[2:4])]), limit=10)
assert [point.id for point in only] == sorted(ids[2:4])

liked = client.query_points(name, query=models.RecommendQuery(recommend=models.RecommendInput(positive=[ids[4]], negative=[ids[9]])), limit=5).points
target = 2 * unit[4] - unit[9]
agrees(liked, [(id, score) for id, score in best(target, 9) if id not in (ids[4], ids[9])][:5])
near = client.query_points(name, query=ids[6], limit=3).points
agrees(near, [(id, score) for id, score in best(vectors[6], 4) if id != ids[6]][:3])
batch = client.query_batch_points(name, [models.QueryRequest(query=vectors[row].tolist(), limit=2) for row in (1, 2)])
for row, answer in zip((1, 2), batch):
    agrees(answer.points, best(vectors[row], 2))
groups = client.query_points_groups(name, query=vectors[0].tolist(), group_by="word", limit=4, group_size=1).groups
assert [group.hits[0].id for group in groups] == [id for id, _ in best(vectors[0], 4)]

# Nobody changes it.
point = models.PointStruct(id=1, vector=vectors[0].tolist(), payload={})
changes = {
    "upsert": lambda: client.upsert(name, [point]),
    "delete": lambda: client.delete(name, models.PointIdsList(points=[1])),
    "set_payload": lambda: client.set_payload(name, {"a": 1}, points=[1]),
    "overwrite_payload": lambda: client.overwrite_payload(name, {"a": 1}, points=[1]),
    "delete_payload": lambda: client.delete_payload(name, ["word"], points=[1]),
    "clear_payload": lambda: client.clear_payload(name, points_selector=[1]),
    "update_vectors": lambda: client.update_vectors(name, [models.PointVectors(id=1, vector=vectors[0].tolist())]),
    "delete_vectors": lambda: client.delete_vectors(name, [""], points=[1]),
    "batch": lambda: client.batch_update_points(name, [models.DeleteOperation(delete=models.PointIdsList(points=[1]))]),
    "create_payload_index": lambda: client.create_payload_index(name, "word", models.PayloadSchemaType.KEYWORD),
    "delete_payload_index": lambda: client.delete_payload_index(name, "word"),
    "update_collection": lambda: client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)),
    "delete_collection": lambda: client.delete_collection(name),
    "create_collection": lambda: client.create_collection(name, models.VectorParams(size=4, distance=models.Distance.DOT)),
    "snapshot": lambda: client.create_snapshot(name),
    "alias": lambda: client.update_collection_aliases([models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="none", alias_name=name))]),
}
for what, change in changes.items():
    try:
        change()
    except (UnexpectedResponse, RpcError) as error:
        assert "read-only" in str(error) or "already exists" in str(error), (what, error)
    else:
        raise AssertionError(f"{what} is let through")
assert client.count(name, exact=True).count == len(records)
print("attached done")
