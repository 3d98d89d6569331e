"""First steps with Qdrant's own Python client against a running Sealpoint: every answer and every refusal as Qdrant gives it.

    .venv/bin/python test/compat/first_steps.py 127.0.0.1:6334 6333 [--rest]

The client takes its gRPC path for all of these but the version check, which asks the HTTP port, and with --rest the HTTP port for all; any
warning, of an incompatible version for instance, ends the run.
"""

import secrets
import sys
import warnings

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

UUID = "550e8400-e29b-41d4-a716-446655440000"
CODE = grpc.StatusCode


HTTP = {CODE.INVALID_ARGUMENT: (400, 422), CODE.NOT_FOUND: (404,), CODE.ALREADY_EXISTS: (409,)}


def refused(code, message, call):
    try:
        call()
    except UnexpectedResponse as error:
        said = error.structured()["status"]["error"]
        assert error.status_code in HTTP[code], (error.status_code, said)
        # The doors differ in what they call the body and, flattened as it is in JSON, its fields; and REST reads an id with its JSON.
        assert said.replace("JSON body: ", "body: ").replace("[internal.", "[").replace("Format error in body: ", "").startswith(message), said
        return
    except grpc.RpcError as error:
        assert error.code() is code, (error.code(), error.details())
        assert error.details().startswith(message), error.details()
        return
    raise AssertionError(f"accepted, but {message!r} was expected")


def ids(points):
    return [point.id for point in points]


def has(key, value):
    return models.Filter(must=[models.FieldCondition(key=key, match=models.MatchValue(value=value))])


def single(client, name):
    assert client.collection_exists(name) is False
    assert client.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    assert client.collection_exists(name) is True
    assert name in [collection.name for collection in client.get_collections().collections]
    config = models.VectorParams(size=4, distance=models.Distance.DOT)
    refused(CODE.ALREADY_EXISTS, f"Wrong input: Collection `{name}` already exists!", lambda: client.create_collection(name, vectors_config=config))

    points = [models.PointStruct(id=n, vector=[n, 1, 0, 0], payload={"n": n, "parity": "eo"[n % 2], "deep": {"list": [n, {"x": n / 2}]}}) for n in range(1, 9)]
    points.append(models.PointStruct(id=UUID, vector=[0, 0, 0, 9], payload={"n": 100, "gone": None}))
    result = client.upsert(name, points=points, wait=True)
    assert result.status == models.UpdateStatus.COMPLETED and isinstance(result.operation_id, int)
    assert client.upsert(name, points=points[:1], wait=False).status == models.UpdateStatus.ACKNOWLEDGED
    info = client.get_collection(name)
    assert info.status == models.CollectionStatus.GREEN and info.points_count == 9
    assert info.config.params.vectors.size == 4 and info.config.params.vectors.distance == models.Distance.DOT
    assert info.config.hnsw_config.m == 16 and info.config.optimizer_config.vacuum_min_vector_number == 1000

    for field, schema in (("n", "integer"), ("parity", "keyword")):
        assert client.create_payload_index(name, field, field_schema=schema, wait=True).status == models.UpdateStatus.COMPLETED
    schema = client.get_collection(name).payload_schema
    assert {key: (each.data_type.value, each.points) for key, each in schema.items()} == {"n": ("integer", 9), "parity": ("keyword", 8)}

    hits = client.query_points(name, query=[1, 0, 0, 0], limit=3, with_vectors=True).points
    assert [(hit.id, hit.score) for hit in hits] == [(8, 8.0), (7, 7.0), (6, 6.0)]
    assert hits[0].vector == [8, 1, 0, 0] and hits[0].payload == {"n": 8, "parity": "e", "deep": {"list": [8, {"x": 4.0}]}}
    even = client.query_points(name, query=[1, 0, 0, 0], query_filter=has("parity", "e"), limit=2, offset=1, with_payload=["n"]).points
    assert [(hit.id, hit.payload) for hit in even] == [(6, {"n": 6}), (4, {"n": 4})]
    assert ids(client.query_points(name, query=[1, 0, 0, 0], score_threshold=7).points) == [8, 7]
    assert ids(client.query_points(name, query=8, limit=2).points) == [7, 6], "nearest to a point leaves the point out"
    between = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gt=2, lte=4))], must_not=[models.HasIdCondition(has_id=[3])])
    batch = [models.QueryRequest(query=[1, 0, 0, 0], filter=between), models.QueryRequest(query=[0, 0, 0, 1], limit=1)]
    assert [ids(answer.points) for answer in client.query_batch_points(name, batch)] == [[4], [UUID]]

    page, following = client.scroll(name, limit=5, with_payload=False)
    assert ids(page) == [1, 2, 3, 4, 5] and following == 6 and page[0].payload in (None, {})
    page, following = client.scroll(name, limit=5, offset=following, with_vectors=True)
    assert ids(page) == [6, 7, 8, UUID] and following is None and page[-1].vector == [0, 0, 0, 9]
    assert page[-1].payload == {"n": 100, "gone": None}
    assert client.count(name).count == 9 and client.count(name, count_filter=has("parity", "o"), exact=True).count == 4
    assert {point.id: point.payload["n"] for point in client.retrieve(name, [3, UUID, 777])} == {3: 3, UUID: 100}

    client.set_payload(name, {"n": 30, "new": [1, 1.5, "é"]}, points=[3], wait=True)
    assert client.retrieve(name, [3])[0].payload == {"n": 30, "parity": "o", "deep": {"list": [3, {"x": 1.5}]}, "new": [1, 1.5, "é"]}
    client.set_payload(name, {"y": True}, points=[3], key="deep.more", wait=True)
    assert client.retrieve(name, [3], with_payload=["deep.more"])[0].payload == {"deep": {"more": {"y": True}}}
    client.overwrite_payload(name, {"only": 1}, points=[3], wait=True)
    client.delete_payload(name, ["deep", "parity"], points=[4], wait=True)
    client.clear_payload(name, points_selector=[5], wait=True)
    assert [point.payload or {} for point in client.scroll(name, limit=3, offset=3)[0]] == [{"only": 1}, {"n": 4}, {}]
    client.set_payload(name, {"marked": True}, points=has("parity", "e"), wait=True)
    assert client.count(name, count_filter=has("marked", True)).count == 3
    refused(CODE.NOT_FOUND, "Not found: No point with id 999 found", lambda: client.set_payload(name, {"a": 1}, points=[999], wait=True))

    client.update_vectors(name, [models.PointVectors(id=1, vector=[50, 0, 0, 0])], wait=True)
    assert ids(client.query_points(name, query=[1, 0, 0, 0], limit=1).points) == [1]
    client.delete_vectors(name, vectors=[""], points=[1], wait=True)
    assert 1 not in ids(client.query_points(name, query=[1, 0, 0, 0], limit=100).points) and client.count(name).count == 9

    operations = [
        models.UpsertOperation(upsert=models.PointsList(points=[models.PointStruct(id=20, vector=[0, 0, 5, 0], payload={"n": 20})])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"batched": "yes"}, points=[20])),
        models.DeleteOperation(delete=models.PointIdsList(points=[2])),
    ]
    answers = client.batch_update_points(name, operations, wait=True)
    assert [answer.status for answer in answers] == [models.UpdateStatus.COMPLETED] * 3
    assert client.retrieve(name, [2, 20])[0].payload == {"n": 20, "batched": "yes"}
    client.delete(name, points_selector=models.FilterSelector(filter=has("marked", True)), wait=True)
    client.delete(name, points_selector=[UUID, 424242], wait=True)
    assert ids(client.scroll(name, limit=100)[0]) == [1, 3, 4, 5, 7, 20]

    dimension = "Wrong input: Vector dimension error: expected dim: 4, got 2"
    refused(CODE.INVALID_ARGUMENT, dimension, lambda: client.upsert(name, [models.PointStruct(id=1, vector=[1, 2], payload={})]))
    refused(CODE.INVALID_ARGUMENT, dimension, lambda: client.query_points(name, query=[1, 2]))
    unknown = "Wrong input: Not existing vector name error: foo"
    refused(CODE.INVALID_ARGUMENT, unknown, lambda: client.query_points(name, query=[1, 2, 3, 4], using="foo"))
    refused(CODE.INVALID_ARGUMENT, unknown, lambda: client.upsert(name, [models.PointStruct(id=1, vector={"foo": [1, 2, 3, 4]}, payload={})]))
    refused(CODE.INVALID_ARGUMENT, "Unable to parse UUID: ", lambda: client.upsert(name, [models.PointStruct(id="nope", vector=[1, 2, 3, 4])]))
    zero = "Validation error in body: [limit: value 0 invalid, must be 1 or larger]"
    refused(CODE.INVALID_ARGUMENT, zero, lambda: client.query_points(name, query=[1, 2, 3, 4], limit=0))
    client.upload_points(name, (models.PointStruct(id=n, vector=[0, 0, 1, n], payload={"n": n}) for n in range(1000, 1500)), batch_size=64, wait=True)
    assert client.count(name, count_filter=models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=1000))])).count == 500
    assert client.delete_payload_index(name, "parity", wait=True).status == models.UpdateStatus.COMPLETED
    assert list(client.get_collection(name).payload_schema) == ["n"]
    assert client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=12345))
    assert client.get_collection(name).config.optimizer_config.indexing_threshold == 12345


def named(client, name):
    params = {
        "image": models.VectorParams(size=2, distance=models.Distance.EUCLID),
        "text": models.VectorParams(size=3, distance=models.Distance.COSINE),
        "grid": models.VectorParams(size=2, distance=models.Distance.MANHATTAN),
    }
    client.create_collection(name, vectors_config=params)
    stored = client.get_collection(name).config.params.vectors
    assert {key: (value.size, value.distance) for key, value in stored.items()} == {key: (v.size, v.distance) for key, v in params.items()}
    points = [
        models.PointStruct(id=1, vector={"image": [0, 0], "text": [0, 3, 4], "grid": [1, 1]}, payload={}),
        models.PointStruct(id=2, vector={"image": [3, 4], "text": [1, 0, 0]}, payload={}),
        models.PointStruct(id=3, vector={"grid": [4, 5]}, payload={}),
    ]
    client.upsert(name, points, wait=True)
    assert [(hit.id, hit.score) for hit in client.query_points(name, query=[0, 0], using="image").points] == [(1, 0.0), (2, 5.0)]
    assert [(hit.id, hit.score) for hit in client.query_points(name, query=[1, 1], using="grid").points] == [(1, 0.0), (3, 7.0)]
    assert ids(client.query_points(name, query=[0, 0], using="image", score_threshold=1).points) == [1]
    hits = client.query_points(name, query=[0, 1, 0], using="text", with_vectors=["text"]).points
    assert ids(hits) == [1, 2] and abs(hits[0].score - 0.6) < 1e-6
    assert hits[0].vector.keys() == {"text"} and all(abs(a - b) < 1e-6 for a, b in zip(hits[0].vector["text"], [0, 0.6, 0.8])), "Cosine stores unit vectors"
    client.update_vectors(name, [models.PointVectors(id=3, vector={"text": [0, 1, 0]})], wait=True)
    client.delete_vectors(name, vectors=["grid"], points=[1], wait=True)
    vectors = {point.id: set(point.vector) for point in client.scroll(name, with_vectors=True)[0]}
    assert vectors == {1: {"image", "text"}, 2: {"image", "text"}, 3: {"grid", "text"}}
    empty = client.retrieve(name, [2], with_vectors=["grid"])[0]
    assert not empty.vector
    dense = models.DenseVectorNameConfig(dense=models.DenseVectorConfig(size=2, distance=models.Distance.DOT))
    sparse = models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=models.Modifier.IDF))
    for _ in range(2):
        assert client.create_vector_name(name, "later", dense).status == models.UpdateStatus.COMPLETED
    client.create_vector_name(name, "words", sparse)
    params = client.get_collection(name).config.params
    assert (params.vectors["later"].size, params.sparse_vectors["words"].modifier) == (2, models.Modifier.IDF)
    client.update_vectors(name, [models.PointVectors(id=3, vector={"later": [1, 2], "words": models.SparseVector(indices=[1], values=[2])})], wait=True)
    assert [(hit.id, hit.score) for hit in client.query_points(name, query=[1, 1], using="later").points] == [(3, 3.0)]
    refused(CODE.INVALID_ARGUMENT, "Wrong input: Vector `words` already exists as a sparse vector", lambda: client.create_vector_name(name, "words", dense))
    refused(CODE.INVALID_ARGUMENT, "Validation error in body: [vector_name:", lambda: client.create_vector_name(name, "a*b", dense))
    for each in ("later", "words"):
        assert client.delete_vector_name(name, each).status == models.UpdateStatus.COMPLETED
    assert client.get_collection(name).config.params.vectors.keys() == {"image", "text", "grid"}
    assert set(client.retrieve(name, [3], with_vectors=True)[0].vector) == {"grid", "text"}
    missing = "Wrong input: Not existing vector name error: later"
    refused(CODE.INVALID_ARGUMENT, missing, lambda: client.query_points(name, query=[1, 1], using="later"))
    requires = "Wrong input: Collection requires specified vector name in the request"
    refused(CODE.INVALID_ARGUMENT, requires, lambda: client.query_points(name, query=[0, 0]))


def aliases(client, name):
    alias, other = f"{name}-alias", f"{name}-other"
    create = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=name, alias_name=alias))
    assert client.update_collection_aliases([create])
    assert client.count(alias).count == client.count(name).count and client.collection_exists(alias)
    assert [each.alias_name for each in client.get_collection_aliases(name).aliases] == [alias]
    rename = models.RenameAliasOperation(rename_alias=models.RenameAlias(old_alias_name=alias, new_alias_name=other))
    assert client.update_collection_aliases([rename])
    assert (other, name) in [(each.alias_name, each.collection_name) for each in client.get_aliases().aliases]
    refused(CODE.NOT_FOUND, f"Not found: Collection `{alias}` doesn't exist!", lambda: client.count(alias))
    refused(CODE.NOT_FOUND, f"Not found: Alias {alias} does not exists!", lambda: client.update_collection_aliases([rename]))
    nowhere = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="nowhere", alias_name=alias))
    refused(CODE.NOT_FOUND, "Not found: Collection `nowhere` doesn't exist!", lambda: client.update_collection_aliases([nowhere]))
    assert client.update_collection_aliases([models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=other))])
    assert client.get_collection_aliases(name).aliases == []


def main(target, http_port, *flags):
    warnings.simplefilter("error")
    host, port = target.rsplit(":", 1)
    client = QdrantClient(host=host, port=int(http_port), grpc_port=int(port), prefer_grpc="--rest" not in flags)
    assert client.info().title == "qdrant - vector search engine"
    name = f"first-steps-{secrets.token_hex(6)}"
    try:
        single(client, name)
        named(client, f"{name}-named")
        aliases(client, name)
    finally:
        removed = [client.delete_collection(each) for each in (name, f"{name}-named")]
    assert removed == [True, True] and client.delete_collection(name) is False
    refused(CODE.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!", lambda: client.get_collection(name))
    refused(CODE.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!", lambda: client.upsert(name, [models.PointStruct(id=1, vector=[1.0])]))
    print("first steps done")


if __name__ == "__main__":
    main(*sys.argv[1:])
