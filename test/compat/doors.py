"""What callers of Qdrant's own Python client read from answers, the same over gRPC and REST: scores, versions, configuration and costs.

    .venv/bin/python test/compat/doors.py 127.0.0.1:6334 6333

Each step once had another answer than Qdrant's, or another one over one of the doors.
"""

import random
import secrets
import sys

import grpc
from qdrant_client import QdrantClient, grpc as grpc_types, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import UnexpectedResponse

SMALL = models.VectorParams(size=2, distance=models.Distance.DOT)


def points(count):
    return [models.PointStruct(id=n, vector=[n, 1], payload={"n": n}) for n in range(count)]


def lists_score_one(client, name):
    """Points that come by id, by a key or at random have no score of their own: 1, and version 0."""
    client.create_collection(name, vectors_config=SMALL)
    client.upsert(name, points(20), wait=True)
    client.create_payload_index(name, "n", field_schema="integer", wait=True)
    for query in (None, models.OrderByQuery(order_by="n"), models.SampleQuery(sample=models.Sample.RANDOM)):
        for limit in (5, 30):
            found = client.query_points(name, query=query, limit=limit).points
            assert len(found) == min(limit, 20) and {(hit.score, hit.version) for hit in found} == {(1.0, 0)}, (query, found)
    among = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=15))])
    assert [(hit.id, hit.score) for hit in client.query_points(name, query_filter=among, offset=2, limit=2).points] == [(17, 1.0), (18, 1.0)]
    batch = client.query_batch_points(name, [models.QueryRequest(limit=1), models.QueryRequest(query=[1, 0], limit=1)])
    assert [(answer.points[0].id, answer.points[0].score) for answer in batch] == [(0, 1.0), (19, 19.0)]
    assert all(hit.version > 0 for hit in client.query_points(name, query=[1, 0]).points)
    # Their version is no key of what the server keeps of them.
    for value in (50, 60):
        client.set_payload(name, {"n": value}, points=[3], wait=True)
        assert client.query_points(name, query=models.OrderByQuery(order_by="n"), limit=30).points[-1].payload == {"n": value}


def examples_are_no_answers(client, name):
    """A point that stands for its vector is left out of the whole tree, wherever it is named."""
    client.create_collection(name, vectors_config=SMALL)
    client.upsert(name, points(20), wait=True)
    prefetch = [models.Prefetch(query=19, limit=30), models.Prefetch(query=[1, 0], limit=30, prefetch=models.Prefetch(query=18, limit=30))]
    for query in (models.FusionQuery(fusion=models.Fusion.RRF), models.FusionQuery(fusion=models.Fusion.DBSF), 17, [0, 1], models.FormulaQuery(formula="$score")):
        found = {hit.id for hit in client.query_points(name, prefetch=prefetch, query=query, limit=30).points}
        assert found == set(range(17 if query == 17 else 18)), (query, found)


def formulas_take_null_for_a_value(client, name):
    """So its default is not asked for, and null is no number; an empty list has no value."""
    client.create_collection(name, vectors_config=SMALL)
    for at, value in enumerate(({"x": None}, {"x": [1, 2]}, {"x": []}, {}, {"x": [3]})):
        client.upsert(name, [models.PointStruct(id=at, vector=[1, 1], payload=value)], wait=True)
    scores = []
    for at in range(5):
        prefetch = models.Prefetch(query=[1, 1], filter=models.Filter(must=[models.HasIdCondition(has_id=[at])]))
        try:
            scores.append(client.query_points(name, prefetch=prefetch, query=models.FormulaQuery(formula="x", defaults={"x": 7})).points[0].score)
        except (UnexpectedResponse, grpc.RpcError) as refused:
            assert "Expected number value for x in the payload and/or in the formula defaults. Error: Value is not a number" in str(refused), refused
            scores.append(None)
    assert scores == [None, None, 7, 7, 3], scores
    # A field with an index has the values that the index takes, and no others.
    client.create_payload_index(name, "x", field_schema="integer", wait=True)
    client.upsert(name, [models.PointStruct(id=5, vector=[1, 1], payload={"x": [None, "y", 4]}), models.PointStruct(id=6, vector=[1, 1], payload={"x": 1.5})], wait=True)
    hits = client.query_points(
        name,
        prefetch=models.Prefetch(query=[1, 1], filter=models.Filter(must_not=[models.HasIdCondition(has_id=[1])])),
        query=models.FormulaQuery(formula="x", defaults={"x": 7}),
    ).points
    assert {hit.id: hit.score for hit in hits} == {0: 7, 2: 7, 3: 7, 4: 3, 5: 4, 6: 7}, hits


def samples_have_no_pages(client, name):
    client.create_collection(name, vectors_config=SMALL)
    client.upsert(name, points(20), wait=True)
    sample = models.SampleQuery(sample=models.Sample.RANDOM)
    assert len({hit.id for hit in client.query_points(name, query=sample, limit=20, offset=5).points}) == 20
    assert len(client.query_points(name, query=sample, limit=7, offset=19).points) == 7
    # And the pages of a query find no more of its prefetches.
    pages = [client.query_points(name, prefetch=models.Prefetch(query=[1, 0], limit=6), query=[0, 1], limit=4, offset=at).points for at in (0, 4, 8)]
    assert [len(page) for page in pages] == [4, 2, 0], pages


def configuration_is_shown(client, name):
    sparse = {"words": models.SparseVectorParams()}
    client.create_collection(name, vectors_config=SMALL, sparse_vectors_config=sparse)
    diff = models.CollectionParamsDiff(read_fan_out_factor=3, read_fan_out_delay_ms=20, on_disk_payload=False, replication_factor=2)
    client.update_collection(name, collection_params=diff)
    client.update_collection(name, hnsw_config=models.HnswConfigDiff(ef_construct=77))
    params = client.get_collection(name).config.params
    assert (params.read_fan_out_factor, params.read_fan_out_delay_ms, params.on_disk_payload, params.replication_factor) == (3, 20, False, 2), params
    client.delete_vector_name(name, "words")
    params = client.get_collection(name).config.params
    assert params.sparse_vectors == {} and params.vectors == SMALL, params
    stop = {"one": models.Language.ENGLISH, "two": models.StopwordsSet(languages=["english", "german"]), "own": models.StopwordsSet(languages=["german"], custom=["x"])}
    for key, words in stop.items():
        client.create_payload_index(name, key, models.TextIndexParams(type="text", stopwords=words), wait=True)
    shown = {key: schema.params.stopwords for key, schema in client.get_collection(name).payload_schema.items()}
    assert shown["one"] == models.Language.ENGLISH, shown
    assert set(shown["two"].languages) == {"english", "german"} and shown["own"].custom == ["x"], shown


def reads_cost_their_leaves(client, name):
    """A prefetch costs, what fuses or scores it again does not; what has to wait says how long, what can never pass does not."""
    client.create_collection(name, vectors_config=SMALL, strict_mode_config=models.StrictModeConfig(enabled=True, read_rate_limit=2))
    twice = [models.QueryRequest(query=[1, 0], prefetch=models.Prefetch(query=[0, 1])) for _ in range(2)]
    client.query_batch_points(name, twice)
    try:
        client.query_batch_points(name, twice)
    except ResourceExhaustedResponse as refused:
        assert 0 < refused.retry_after_s <= 60, refused
    else:
        raise AssertionError("four leaves within a minute were taken")
    pairs = [models.ContextPair(positive=[0, 1], negative=[1, n]) for n in range(3)]
    try:
        client.query_points(name, query=models.ContextQuery(context=pairs))
    except ResourceExhaustedResponse as refused:
        raise AssertionError("three pairs can never pass") from refused
    except (UnexpectedResponse, grpc.RpcError) as refused:
        assert "request larger than rate limiter capacity" in str(refused), refused
    else:
        raise AssertionError("three pairs were taken")


def overwrites_know_no_key(client, name):
    """What is given becomes the whole payload, whatever the key says; a set with a key changes what lies there."""
    client.create_collection(name, vectors_config=SMALL)
    client.upsert(name, points(3), wait=True)
    payload = lambda point: client.retrieve(name, ids=[point])[0].payload  # noqa: E731
    client.set_payload(name, {"x": 1}, points=[1, 2], key="deep", wait=True)
    assert payload(1) == {"n": 1, "deep": {"x": 1}}, payload(1)
    below = models.SetPayload(payload={"y": 2}, points=[1], key="deep")
    client.batch_update_points(name, [models.OverwritePayloadOperation(overwrite_payload=below)], wait=True)
    assert payload(1) == {"y": 2}, payload(1)
    # The client's own method has no key.
    if client._client._prefer_grpc:
        selector = grpc_types.PointsSelector(points=grpc_types.PointsIdsList(ids=[grpc_types.PointId(num=2)]))
        value = {"y": grpc_types.Value(integer_value=2)}
        request = grpc_types.SetPayloadPoints(collection_name=name, wait=True, payload=value, key="deep", points_selector=selector)
        client.grpc_points.OverwritePayload(request)
    else:
        client.http.points_api.overwrite_payload(collection_name=name, wait=True, set_payload=below.model_copy(update={"points": [2]}))
    assert payload(2) == {"y": 2}, payload(2)


def turbo_is_taken(client, name):
    """TurboQuant's codes and datatype are shown as they were asked for, and searches find what they would without."""
    rng = random.Random(7)
    rows = [[rng.gauss(0, 1) for _ in range(32)] for _ in range(300)]
    turbo = models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS2, always_ram=True))
    vectors = {
        "codes": models.VectorParams(size=32, distance=models.Distance.COSINE, quantization_config=turbo),
        "rows": models.VectorParams(size=32, distance=models.Distance.EUCLID, datatype=models.Datatype.TURBO4),
    }
    default = models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig())
    few = models.OptimizersConfigDiff(indexing_threshold=1)
    client.create_collection(name, vectors_config=vectors, quantization_config=default, optimizers_config=few)
    config = client.get_collection(name).config
    assert config.params.vectors == vectors and config.quantization_config == default, config
    client.upsert(name, [models.PointStruct(id=n, vector={"codes": row, "rows": row}) for n, row in enumerate(rows)], wait=True)
    for using in vectors:
        for n in (3, 77, 299):
            found = client.query_points(name, query=rows[n], using=using, limit=3).points
            exact = client.query_points(name, query=rows[n], using=using, limit=3, search_params=models.SearchParams(exact=True)).points
            assert [hit.id for hit in found] == [hit.id for hit in exact] and found[0].id == n, (using, found, exact)
            assert abs(found[0].score - (1 if using == "codes" else 0)) < 0.05, found
    stored = client.retrieve(name, ids=[5], with_vectors=["rows"])[0].vector["rows"]
    assert all(abs(a - b) < 0.01 for a, b in zip(stored, rows[5])), (stored, rows[5])
    client.update_collection(name, quantization_config=models.Disabled.DISABLED)
    assert client.get_collection(name).config.quantization_config is None


STEPS = [turbo_is_taken, overwrites_know_no_key, lists_score_one, examples_are_no_answers, formulas_take_null_for_a_value, samples_have_no_pages, configuration_is_shown, reads_cost_their_leaves]


def main(target, http_port):
    host, port = target.rsplit(":", 1)
    for prefer_grpc in (True, False):
        client = QdrantClient(host=host, port=int(http_port), grpc_port=int(port), prefer_grpc=prefer_grpc, check_compatibility=False)
        for step in STEPS:
            name = f"doors-{secrets.token_hex(6)}"
            try:
                step(client, name)
            finally:
                client.delete_collection(name)
    print("both doors agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
