"""First steps with Qdrant's own Python client: its gRPC path, then the interceptor under its stubs."""

import secrets
import sys

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as qdrant_grpc

from sealpoint import PrivateKey, Sealing, intercept_channel
from sealpoint.messages import payload_to_dict, set_payload


def main(target: str) -> None:
    host, port = target.rsplit(":", 1)
    client = QdrantClient(host=host, grpc_port=int(port), prefer_grpc=True, check_compatibility=False)
    name = f"py-official-{secrets.token_hex(6)}"
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    try:
        points = [models.PointStruct(id=n, vector=[1.0, n / 10], payload={"n": n, "text": f"t{n}"}) for n in range(10)]
        client.upsert(name, points=points, wait=True)
        assert client.count(name).count == 10
        condition = models.FieldCondition(key="n", range=models.Range(gte=5))
        hits = client.query_points(name, query=[1.0, 0.0], query_filter=models.Filter(must=[condition]), limit=2).points
        assert [hit.id for hit in hits] == [5, 6] and hits[0].payload == {"n": 5, "text": "t5"}
        records, following = client.scroll(name, limit=4, with_vectors=True)
        assert [record.id for record in records] == [0, 1, 2, 3] and following == 4
        client.set_payload(name, payload={"more": True}, points=[1])
        assert client.retrieve(name, [1])[0].payload == {"n": 1, "text": "t1", "more": True}
        client.delete(name, points_selector=[0, 1])
        assert client.count(name).count == 8

        key = PrivateKey.generate()
        sealing = Sealing(recipient=key, private_keys=[key])
        stub = qdrant_grpc.PointsStub(intercept_channel(grpc.insecure_channel(target), sealing))
        request = qdrant_grpc.UpsertPoints(collection_name=name, wait=True)
        point = request.points.add()
        point.id.num = 77
        point.vectors.vector.data.extend([0.0, 1.0])
        set_payload(point.payload, {"secret": "words", "n": 1, "f": 1.0})
        stub.Upsert(request)
        assert list(client.retrieve(name, [77])[0].payload) == ["$sealpoint"]
        get = qdrant_grpc.GetPoints(collection_name=name, ids=[qdrant_grpc.PointId(num=77)])
        get.with_payload.enable = True
        assert payload_to_dict(stub.Get(get).result[0].payload) == {"secret": "words", "n": 1, "f": 1.0}
    finally:
        client.delete_collection(name)
    print("first steps done")


if __name__ == "__main__":
    main(sys.argv[1])
