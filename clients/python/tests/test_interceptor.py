"""The interceptors under generated stubs: ours here, Qdrant's own in stubs_check.py, which both tests share."""

import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import stubs_check

from sealpoint import PrivateKey, SealError, Sealing, intercept_channel
from sealpoint.gen.qdrant import points_pb2, points_service_pb2_grpc
from sealpoint.gen.sealpoint.v1 import ingest_pb2, ingest_pb2_grpc
from sealpoint.messages import MessageSealer


def test_our_stubs(server):
    stubs_check.check(server.target, points_pb2, points_service_pb2_grpc.PointsStub)


def test_qdrants_own_stubs(server):
    pytest.importorskip("qdrant_client", reason="qdrant-client is not installed: its stubs are not tried")
    # A process of its own, as a program that uses Qdrant's client and the interceptor would be.
    script = Path(stubs_check.__file__)
    ran = subprocess.run([sys.executable, str(script), server.target], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "sealed under qdrant_client" in ran.stdout


def test_bulk_upsert_under_the_stub(server):
    key = PrivateKey.generate()
    channel = intercept_channel(grpc.insecure_channel(server.target), Sealing(recipient=key, private_keys=[key]))
    stub = ingest_pb2_grpc.IngestStub(channel)

    def requests(secret):
        yield ingest_pb2.BulkUpsertRequest(
            start=ingest_pb2.BulkUpsertStart(collection_name="c", stream_id="s", public_key=key.public_key.to_hex())
        )
        request = ingest_pb2.BulkUpsertRequest(chunk=ingest_pb2.BulkUpsertChunk(sequence=1))
        point = request.chunk.points.add()
        point.id.num = 4
        point.payload["secret"].CopyFrom(secret)
        yield request

    value = points_pb2.PointStruct().payload["x"]
    value.string_value = "words"
    answers = list(stub.BulkUpsert(requests(value)))
    assert answers[1].ack.applied
    assert b"words" not in server.points["c"][4].SerializeToString()
    page = next(stub.Scroll(ingest_pb2.ScrollRequest(collection_name="c", page_size=5)))
    assert page.points[0].payload["secret"].string_value == "words"

    def without_id():
        yield next(requests(value))
        yield ingest_pb2.BulkUpsertRequest(
            chunk=ingest_pb2.BulkUpsertChunk(sequence=2, points=[points_pb2.PointStruct()])
        )

    with pytest.raises(SealError, match="no id"):
        list(stub.BulkUpsert(without_id()))
    assert server.streams[("c", "s")] == 1


def test_unknown_carriers_of_payloads_are_refused():
    sealer = MessageSealer(Sealing(recipient=PrivateKey.generate()))
    with pytest.raises(SealError, match="cannot be sealed"):
        sealer.collection_to_pin(ingest_pb2.BulkUpsertChunk())
    with pytest.raises(SealError, match="not a protobuf message"):
        sealer.collection_to_pin(b"bytes")
    assert sealer.collection_to_pin(points_pb2.QueryPoints(collection_name="c")) is None
