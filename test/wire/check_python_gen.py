"""Shows that the generated Python code works, alone and in one process with the official `qdrant_client`.

Run: PYTHONPATH=clients/python/src python test/wire/check_python_gen.py   (needs grpcio, protobuf and qdrant-client)
Each order of imports needs a process of its own, since modules register once: the script runs itself for each.
"""

import datetime
import os
import pickle
import subprocess
import sys
from concurrent import futures


def import_official():
    from qdrant_client import grpc as official

    return official


def check(official_first: bool) -> None:
    official = import_official() if official_first else None
    import grpc

    from sealpoint.gen._pool import POOL, Timestamp
    from sealpoint.gen.qdrant import collections_pb2, health_check_pb2, json_with_int_pb2, points_pb2
    from sealpoint.gen.qdrant import points_service_pb2_grpc, qdrant_common_pb2, snapshots_service_pb2
    from sealpoint.gen.sealpoint.policy.v1 import policy_pb2
    from sealpoint.gen.sealpoint.v1 import ingest_pb2, ingest_pb2_grpc, s5_pb2_grpc, sealing_pb2_grpc

    if official is None:
        official = import_official()
    assert official.PointStruct.DESCRIPTOR.full_name == points_pb2.PointStruct.DESCRIPTOR.full_name == "qdrant.PointStruct"
    assert official.PointStruct is not points_pb2.PointStruct
    assert "public_key" not in official.PointStruct.DESCRIPTOR.fields_by_name
    assert POOL.FindMessageTypeByName("qdrant.PointStruct") is points_pb2.PointStruct.DESCRIPTOR

    # Timestamps, set in place, from our class and from a datetime.
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)
    span = qdrant_common_pb2.DatetimeRange()
    span.gte.FromDatetime(moment)
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    assert span == qdrant_common_pb2.DatetimeRange(gte=stamp) == qdrant_common_pb2.DatetimeRange(gte=moment)
    again = qdrant_common_pb2.DatetimeRange.FromString(span.SerializeToString())
    assert again == span and again.gte.ToDatetime(tzinfo=datetime.timezone.utc) == moment
    copy = snapshots_service_pb2.SnapshotDescription(name="copy", size=3)
    copy.creation_time.CopyFrom(again.gte)
    assert snapshots_service_pb2.SnapshotDescription.FromString(copy.SerializeToString()) == copy

    # A request with maps, oneofs, optional fields and our own fields; the official classes read what they know of it.
    request = points_pb2.UpsertPoints(collection_name="books", wait=True, public_key="key", fresh_ephemeral=True)
    point = request.points.add(public_key="other key")
    point.id.num = 2**63
    point.payload["title"].CopyFrom(json_with_int_pb2.Value(string_value="Dune"))
    point.payload["pages"].integer_value = 412
    point.vectors.vector.dense.data.extend([0.5, 0.25])
    data = request.SerializeToString(deterministic=True)
    assert points_pb2.UpsertPoints.FromString(data) == request
    theirs = official.UpsertPoints.FromString(data)
    assert theirs.points[0].id.num == 2**63 and theirs.points[0].payload["pages"].integer_value == 412
    assert list(theirs.points[0].vectors.vector.dense.data) == [0.5, 0.25]
    assert points_pb2.UpsertPoints.FromString(theirs.SerializeToString()) == request
    assert pickle.loads(pickle.dumps(request)) == request
    creation = collections_pb2.CreateCollection(
        collection_name="books",
        sealing=policy_pb2.SealingPolicy(mode=policy_pb2.SEALING_MODE_REQUIRED, recipients=["key"]),
    )
    assert collections_pb2.CreateCollection.FromString(creation.SerializeToString()).sealing.mode == 3
    assert health_check_pb2.HealthCheckResponse.SERVING == 1

    # A call over a socket, by our stub and by the official one, to a server made from our code; and a stream.
    class Points(points_service_pb2_grpc.PointsServicer):
        def Upsert(self, message, context):
            assert message.points[0].public_key == "other key"
            return points_pb2.PointsOperationResponse(result=points_pb2.UpdateResult(operation_id=7, status=2), time=0.5)

    class Ingest(ingest_pb2_grpc.IngestServicer):
        def BulkUpsert(self, messages, context):
            for message in messages:
                yield ingest_pb2.BulkUpsertResponse(ack=ingest_pb2.BulkUpsertAck(sequence=message.chunk.sequence))

    server = grpc.server(futures.ThreadPoolExecutor(2))
    points_service_pb2_grpc.add_PointsServicer_to_server(Points(), server)
    ingest_pb2_grpc.add_IngestServicer_to_server(Ingest(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert points_service_pb2_grpc.PointsStub(channel).Upsert(request, timeout=10).result.operation_id == 7
        assert official.PointsStub(channel).Upsert(theirs, timeout=10).result.status == official.UpdateStatus.Completed
        chunks = [ingest_pb2.BulkUpsertRequest(chunk=ingest_pb2.BulkUpsertChunk(sequence=n, points=[point])) for n in (1, 2)]
        acks = ingest_pb2_grpc.IngestStub(channel).BulkUpsert(iter(chunks), timeout=10)
        assert [answer.ack.sequence for answer in acks] == [1, 2]
        assert s5_pb2_grpc.S5Stub(channel) and sealing_pb2_grpc.SealingStub(channel)
    server.stop(None)


if len(sys.argv) > 1:
    check(official_first=sys.argv[1] == "official-first")
else:
    # `upb` is protobuf's compiled implementation, `python` the one for platforms without it.
    for implementation in ("upb", "python"):
        for order in ("official-first", "ours-first"):
            env = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
            subprocess.run([sys.executable, __file__, order], env=env, check=True)
            print(f"ok: {implementation}, {order}")
