"""Strict mode through Qdrant's own Python client, over gRPC and REST: each limit's error, its code, and that nothing within it is refused.

    .venv/bin/python test/compat/strict.py 127.0.0.1:6334 6333
"""

import secrets
import sys

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import UnexpectedResponse

DOT = models.Distance.DOT
CITY = models.Filter(must=[models.FieldCondition(key="city", match=models.MatchValue(value="Berlin"))])
COLOR = models.Filter(must=[models.FieldCondition(key="color", match=models.MatchValue(value="red"))])
BOTH = models.Filter(must=[*CITY.must, *CITY.must])
ANY = models.Filter(must=[models.FieldCondition(key="city", match=models.MatchAny(any=["a", "b", "c"]))])


def refused(call, code=grpc.StatusCode.INVALID_ARGUMENT, status=400):
    """The error's text; both doors must say it with their code."""
    try:
        call()
    except UnexpectedResponse as error:
        assert error.status_code == status, (error.status_code, error.content)
        return error.structured()["status"]["error"]
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        return error.details()
    raise AssertionError("it was not refused")


def make(client, name, **strict):
    config = models.StrictModeConfig(enabled=True, **strict)
    vectors = {
        "": models.VectorParams(size=2, distance=DOT),
        "many": models.VectorParams(size=2, distance=DOT, multivector_config=models.MultiVectorConfig(comparator="max_sim")),
    }
    client.create_collection(name, vectors_config=vectors, sparse_vectors_config={"words": models.SparseVectorParams()}, strict_mode_config=config)
    client.create_payload_index(name, "city", field_schema="keyword", wait=True)
    return name


def point(id, **vectors):
    return models.PointStruct(id=id, vector={"": [1.0, id], **vectors}, payload={"city": "Berlin"})


def upsert(client, name, *points):
    return client.upsert(name, list(points), wait=True)


def limits(client, prefix):
    name = make(client, prefix + "-query", max_query_limit=3)
    client.query_points(name, query=[1.0, 1.0], limit=3)
    said = 'Bad request: Limit exceeded 4 > 3 for "limit". Help: Reduce the "limit" parameter to or below 3.'
    for call in (
        lambda: client.query_points(name, query=[1.0, 1.0], limit=4),
        lambda: client.query_points(name, prefetch=models.Prefetch(query=[1.0, 1.0], limit=4), query=models.FusionQuery(fusion="rrf"), limit=1),
        lambda: client.scroll(name, limit=4),
        lambda: client.facet(name, "city", limit=4),
        lambda: client.query_batch_points(name, [models.QueryRequest(query=[1.0, 1.0], limit=4)]),
    ):
        assert refused(call) == said

    name = make(client, prefix + "-timeout", max_timeout=5)
    client.query_points(name, query=[1.0, 1.0], timeout=5)
    assert refused(lambda: client.query_points(name, query=[1.0, 1.0], timeout=6)).startswith('Bad request: Limit exceeded 6 > 5 for "timeout".')

    name = make(client, prefix + "-index", unindexed_filtering_retrieve=False, unindexed_filtering_update=False)
    assert client.count(name, CITY).count == 0
    for call in (
        lambda: client.count(name, COLOR),
        lambda: client.query_points(name, query=[1.0, 1.0], query_filter=COLOR),
        lambda: client.delete(name, models.FilterSelector(filter=COLOR)),
        lambda: client.set_payload(name, {"a": 1}, points=COLOR),
    ):
        said = refused(call)
        assert said.startswith('Bad request: Index required but not found for "color" of one of the following types: [keyword'), said

    name = make(client, prefix + "-filter", filter_max_conditions=1, condition_max_size=2)
    assert refused(lambda: client.count(name, BOTH)).startswith("Bad request: ")
    assert refused(lambda: client.count(name, ANY)).startswith("Bad request: ")

    name = make(client, prefix + "-params", search_max_hnsw_ef=10, search_allow_exact=False, search_max_oversampling=2.0)
    search = lambda **params: client.query_points(name, query=[1.0, 1.0], search_params=models.SearchParams(**params))
    search(hnsw_ef=10)
    assert refused(lambda: search(hnsw_ef=11)).startswith('Bad request: Limit exceeded 11 > 10 for "hnsw_ef".')
    assert "exact" in refused(lambda: search(exact=True)).lower()
    assert "oversampling" in refused(lambda: search(quantization=models.QuantizationSearchParams(oversampling=3.0))).lower()


def writes(client, prefix):
    name = make(client, prefix + "-batch", upsert_max_batchsize=2, max_payload_index_count=1)
    upsert(client, name, point(1), point(2))
    assert refused(lambda: upsert(client, name, point(1), point(2), point(3))).startswith('Bad request: Limit exceeded 3 > 2 for "upsert limit".')
    assert refused(lambda: client.create_payload_index(name, "n", field_schema="integer")).startswith("Bad request: Collection already has the maximum number of payload indices (1)")

    many = {"many": models.StrictModeMultivector(max_vectors=2)}
    name = make(client, prefix + "-vectors", multivector_config=many, sparse_config={"words": models.StrictModeSparse(max_length=2)})
    sparse = lambda count: models.SparseVector(indices=list(range(count)), values=[1.0] * count)
    upsert(client, name, point(1, many=[[1.0, 1.0]] * 2, words=sparse(2)))
    assert refused(lambda: upsert(client, name, point(2, many=[[1.0, 1.0]] * 3))).startswith("Bad request: ")
    assert refused(lambda: upsert(client, name, point(2, words=sparse(3)))).startswith("Bad request: ")
    assert client.count(name).count == 1

    name = make(client, prefix + "-count", max_points_count=2)
    upsert(client, name, point(1), point(2))
    assert refused(lambda: upsert(client, name, point(3))) == "Bad request: Max points count limit of 2 reached!"
    client.delete(name, models.PointIdsList(points=[1]), wait=True)
    upsert(client, name, point(3))


def sizes(client, prefix):
    """Bytes of the values: 8 of each dense vector, 8 of each row of a multivector, 8 of each value of a sparse vector."""
    sparse = models.SparseVector(indices=[1, 2, 3], values=[1.0, 1.0, 1.0])
    for kind, vectors in (("dense", {}), ("multi", {"many": [[1.0, 1.0]] * 9}), ("sparse", {"words": sparse})):
        bytes_each = {"dense": 8, "multi": 8 + 72, "sparse": 8 + 24}[kind]
        name = make(client, f"{prefix}-size-{kind}", max_collection_vector_size_bytes=4 * bytes_each)
        for id in range(1, 5):
            upsert(client, name, point(id, **vectors))
        assert refused(lambda: upsert(client, name, point(5))).startswith("Bad request: Max vector storage size limit of"), kind
        client.delete(name, models.PointIdsList(points=[1]), wait=True)
        upsert(client, name, point(6))


def rates(client, prefix):
    name = make(client, prefix + "-rate", read_rate_limit=2)
    for _ in range(5):
        try:
            client.count(name)
        except ResourceExhaustedResponse as error:
            assert int(error.retry_after_s) > 0
            return
    raise AssertionError("no rate was limited")


def shown_and_changed(client, prefix):
    name = make(client, prefix + "-change", max_query_limit=3)
    assert client.get_collection(name).config.strict_mode_config.max_query_limit == 3
    client.update_collection(name, strict_mode_config=models.StrictModeConfig(max_query_limit=10))
    client.query_points(name, query=[1.0, 1.0], limit=10)
    client.update_collection(name, strict_mode_config=models.StrictModeConfig(enabled=False))
    client.query_points(name, query=[1.0, 1.0], limit=100)


def main(address, http_port):
    host, port = address.split(":")
    for prefer_grpc in (True, False):
        client = QdrantClient(host=host, grpc_port=int(port), port=int(http_port), prefer_grpc=prefer_grpc, timeout=30, check_compatibility=False)
        for step in (limits, writes, sizes, rates, shown_and_changed):
            prefix = f"strict-{secrets.token_hex(4)}"
            step(client, prefix)
            for one in client.get_collections().collections:
                if one.name.startswith(prefix):
                    client.delete_collection(one.name)
        client.close()
    print("strict mode agrees")


main(*sys.argv[1:])
