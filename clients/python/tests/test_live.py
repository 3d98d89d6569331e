"""Against a running server: SEALPOINT_TEST_GRPC=127.0.0.1:6334 pytest -m live"""

import asyncio
import os
import secrets
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from sealpoint import AsyncClient, Client, OpenError, Point, PrivateKey, Sealing
from sealpoint.seal import SEALED_KEY

TARGET = os.environ.get("SEALPOINT_TEST_GRPC")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not TARGET, reason="SEALPOINT_TEST_GRPC=host:port is not set: no running server to try"),
]

KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()


def points(count, start=0):
    return [
        Point(start + n, [1.0, (start + n) / 1000, 0.5], {"secret": f"words {start + n}", "n": start + n, "f": 1.0, "pos": "nv"[n % 2]})
        for n in range(count)
    ]  # fmt: skip


@pytest.fixture
def client():
    sealing = Sealing(recipient=KEY, private_keys=[KEY], clear_fields=["pos"])
    with Client(TARGET, sealing=sealing) as connected:
        yield connected


@pytest.fixture
def plain():
    with Client(TARGET) as connected:
        yield connected


@pytest.fixture
def collection(client):
    name = f"py-{secrets.token_hex(6)}"
    policy = client.policy("required", recipients=[KEY.public_key], clear_fields=["pos"])
    client.create_collection(name, size=3, distance="Cosine", sealing=policy)
    yield name
    client.delete_collection(name)


def by_pos(value):
    return {"must": [{"field": {"key": "pos", "match": {"keyword": value}}}]}


def test_sealed_here_and_opened_here(client, plain, collection):
    assert client.collection_exists(collection) and collection in client.list_collections()
    client.upsert(collection, points(10))
    assert client.count(collection) == 10
    hits = client.query(collection, [1.0, 0.0, 0.5], limit=3)
    assert [hit.id for hit in hits] == [0, 1, 2]
    assert hits[0].payload == points(1)[0].payload and not hits[0].sealed
    seen = plain.query(collection, [1.0, 0.0, 0.5], limit=10)
    assert all(
        hit.sealed and set(hit.payload) == {"pos", SEALED_KEY} and "words" not in str(hit.payload) for hit in seen
    )
    assert {hit.id for hit in client.query(collection, [1.0, 0.0, 0.5], filter=by_pos("v"))} == {1, 3, 5, 7, 9}
    assert client.count_plain(collection) == (0, 10)


def test_sealed_by_the_server_and_opened_here(client, plain, collection):
    plain.upsert(collection, points(3), public_key=OTHER)
    assert plain.query(collection, [1.0, 0.0, 0.5])[0].sealed
    assert plain.query(collection, [1.0, 0.0, 0.5], open=OTHER)[0].payload == points(1)[0].payload
    assert client.query(collection, [1.0, 0.0, 0.5])[0].sealed
    # The policy's own recipient receives what brings no key.
    plain.upsert(collection, points(1, 50))
    assert client.retrieve(collection, [50])[0].payload == points(1, 50)[0].payload
    uuid = "550e8400-e29b-41d4-a716-446655440000"
    client.upsert(collection, [Point(uuid, [0.0, 1.0, 0.0], {"secret": 7})])
    assert client.retrieve(collection, [uuid])[0].payload == {"secret": 7}


def test_partial_updates_append(client, plain, collection):
    client.upsert(collection, points(2))
    client.set_payload(collection, {"n": 100, "more": [1, 1.0, None]}, ids=[0, 1])
    opened = client.retrieve(collection, [1])[0].payload
    assert opened == {**points(2)[1].payload, "n": 100, "more": [1, 1.0, None]}
    assert len(plain.retrieve(collection, [1])[0].payload[SEALED_KEY]) == 2
    client.overwrite_payload(collection, {"only": "x"}, ids=[1])
    assert client.retrieve(collection, [1])[0].payload == {"only": "x"}
    client.set_payload(collection, {"pos": "z"}, ids=[0])
    assert client.retrieve(collection, [0])[0].payload["pos"] == "z"


def test_policy_and_errors(client, plain, collection):
    state = client.get_policy(collection)
    assert state.mode == "required" and state.clear_fields == ("pos",) and len(state.sealing_id) == 16
    client.upsert(collection, points(2))
    with pytest.raises(grpc.RpcError) as caught:
        client.query(
            collection, [1.0, 0.0, 0.5], filter={"must": [{"field": {"key": "secret", "match": {"keyword": "x"}}}]}
        )
    assert "secret" in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        client.upsert(collection, [Point(1, [1.0], {"a": 1})])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        plain.query("no such collection", [1.0])
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    elsewhere = Sealing(private_keys=[KEY], collections={collection: bytes(16)})
    with Client(TARGET, sealing=elsewhere) as wrong, pytest.raises(OpenError):
        wrong.query(collection, [1.0, 0.0, 0.5])


def test_bulk_upsert_and_scroll(client, collection):
    acks = list(client.bulk_upsert(collection, points(1000), chunk_points=64, stream_id="live"))
    assert [ack.sequence for ack in acks] == list(range(1, 17))
    assert sum(ack.points_applied for ack in acks) == 1000 and acks[-1].durable_sequence == 16
    assert client.count(collection) == 1000
    records = list(client.scroll(collection, page_size=100))
    assert [record.id for record in records] == list(range(1000))
    assert [record.payload for record in records] == [point.payload for point in points(1000)]
    assert [record.id for record in client.scroll(collection, after=989)] == list(range(990, 1000))
    again = list(client.bulk_upsert(collection, points(1100), chunk_points=64, stream_id="live"))
    assert [ack.applied for ack in again] == [False] * 16 + [True] * 2, "the last chunk of before was whole"
    stream = client.bulk_upsert(collection, points(5000), chunk_points=64)
    next(stream)
    stream.close()


def test_bulk_upsert_sealed_by_the_server(plain, collection):
    acks = list(plain.bulk_upsert(collection, points(100), public_key=OTHER, chunk_points=40))
    assert [ack.points_applied for ack in acks] == [40, 40, 20] and not any(ack.refused for ack in acks)
    opened = list(plain.scroll(collection, open=OTHER))
    assert [record.payload for record in opened] == [point.payload for point in points(100)]


def test_async(collection):
    async def run():
        sealing = Sealing(recipient=KEY, private_keys=[KEY], clear_fields=["pos"])
        async with AsyncClient(TARGET, sealing=sealing) as client:
            acks = [ack async for ack in client.bulk_upsert(collection, points(300), chunk_points=50)]
            assert sum(ack.points_applied for ack in acks) == 300
            assert [r.payload async for r in client.scroll(collection)] == [point.payload for point in points(300)]
            assert (await client.query(collection, [1.0, 0.0, 0.5], limit=1))[0].payload["secret"] == "words 0"

    asyncio.run(asyncio.wait_for(run(), 60))


def test_qdrants_own_client():
    pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
    script = Path(__file__).with_name("live_qdrant_client.py")
    ran = subprocess.run([sys.executable, str(script), TARGET], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "first steps done" in ran.stdout
