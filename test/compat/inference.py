"""Documents with the model qdrant/bm25 through Qdrant's own client, over gRPC and REST: hybrid search without a model on the client."""

import sys

from qdrant_client import QdrantClient, models

HOST, GRPC_PORT = sys.argv[1].split(":")
HTTP_PORT = int(sys.argv[2])
TEXTS = ["hello world", "hello there, hello again", "the open sea", "a ship upon the open sea", "ships and harbours"]


def steps(client, name):
    client.create_collection(
        name,
        vectors_config={"dense": models.VectorParams(size=2, distance=models.Distance.DOT)},
        sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )

    def document(text, **options):
        return models.Document(text=text, model="Qdrant/bm25", options=options or None)

    points = [
        models.PointStruct(id=at, vector={"dense": [1.0, float(at)], "words": document(text)}, payload={"text": text}) for at, text in enumerate(TEXTS)
    ]
    client.upsert(name, points[:3], wait=True)
    client.upload_points(name, points[3:], wait=True)

    found = client.query_points(name, query=document("ship on the sea"), using="words", limit=10).points
    assert [point.id for point in found] == [3, 2, 4], found
    assert found[0].payload == {"text": TEXTS[3]}, found[0]

    hybrid = client.query_points(
        name,
        prefetch=[
            models.Prefetch(query=document("hello"), using="words", limit=2),
            models.Prefetch(query=[0.0, 1.0], using="dense", limit=2),
        ],
        query=models.FusionQuery(fusion=models.Fusion.RRF),
        limit=4,
    ).points
    assert {point.id for point in hybrid} == {0, 1, 3, 4}, hybrid

    batch = client.query_batch_points(
        name, [models.QueryRequest(query=document(text), using="words", limit=1) for text in ["world", "harbour", "nothing of it"]]
    )
    assert [[point.id for point in one.points] for one in batch] == [[0], [4], []], batch

    groups = client.query_points_groups(name, group_by="text", query=document("hello"), using="words", limit=5, group_size=1).groups
    assert sorted(group.hits[0].id for group in groups) == [0, 1], groups

    client.update_vectors(name, [models.PointVectors(id=0, vector={"words": document("a lighthouse")})], wait=True)
    client.batch_update_points(
        name,
        [models.UpsertOperation(upsert=models.PointsList(points=[models.PointStruct(id=9, vector={"words": document("the lighthouse keeper")})]))],
        wait=True,
    )
    found = client.query_points(name, query=document("Lighthouses"), using="words", with_vectors=["words"]).points
    assert sorted(point.id for point in found) == [0, 9], found
    assert all(len(point.vector["words"].indices) == (1 if point.id == 0 else 2) for point in found), found

    # What stems and what is left out depends on the language.
    plain = dict(language="none", tokenizer="whitespace", lowercase=False)
    client.upsert(name, [models.PointStruct(id=10, vector={"words": document("The SHIPS", **plain)})], wait=True)
    assert [point.id for point in client.query_points(name, query=document("SHIPS", **plain), using="words").points] == [10]

    for model, options, expected in [
        ("some/model", None, "InferenceService is not initialized"),
        ("qdrant/bm25", {"b": 2}, "BM25 b must be finite"),
        ("qdrant/bm25", {"tokenizer": 5}, "Invalid BM25 config"),
    ]:
        try:
            client.query_points(name, query=models.Document(text="secret", model=model, options=options), using="words")
        except Exception as error:
            assert expected in str(error) and "secret" not in str(error), error
            assert "400" in str(error) or "INVALID_ARGUMENT" in str(error), error
        else:
            raise AssertionError(f"{model} {options} was accepted")
    client.delete_collection(name)


def main():
    # cloud_inference: the client sends documents as they are, instead of asking for fastembed.
    for prefer_grpc in (True, False):
        client = QdrantClient(
            host=HOST, grpc_port=int(GRPC_PORT), port=HTTP_PORT, prefer_grpc=prefer_grpc, cloud_inference=True, check_compatibility=False
        )
        steps(client, "inference-grpc" if prefer_grpc else "inference-rest")
        client.close()
    print("documents done")


main()
