"""Both clients against a server in this process: what leaves is sealed, what comes back is opened, streams resume."""

import asyncio

import pytest

from sealpoint import AsyncClient, Client, CollectionPin, IngestError, OpenError, Point, PrivateKey, SealError, Sealing
from sealpoint.messages import payload_to_dict
from sealpoint.seal import SEALED_KEY

KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()


def client_of(server, **options):
    return Client(server.target, sealing=Sealing(recipient=KEY, private_keys=[KEY], clear_fields=["pos"], **options))


def points(count, start=0):
    return [
        Point(start + n, [0.1, 0.2], {"secret": f"words {start + n}", "n": n, "f": 1.0, "pos": "n"})
        for n in range(count)
    ]


def test_upsert_seals_and_query_opens(server):
    with client_of(server) as client:
        assert client.upsert("c", points(3)) == 3
        stored = [payload_to_dict(point.payload) for point in server.requests[0].points]
        assert all(set(payload) == {"pos", SEALED_KEY} for payload in stored)
        assert b"words" not in server.requests[0].SerializeToString()
        assert len({payload[SEALED_KEY][0]["ephemeral_public_key"] for payload in stored}) == 1
        hits = client.query("c", [0.1, 0.2])
        assert [hit.payload for hit in hits] == [point.payload for point in points(3)]
        assert isinstance(hits[0].payload["f"], float) and isinstance(hits[0].payload["n"], int)
        assert [record.payload for record in client.scroll("c", page_size=2)] == [hit.payload for hit in hits]
        assert client.retrieve("c", [1])[0].payload["secret"] == "words 1"
        assert server.policy_calls == 1
    with Client(server.target) as plain:
        assert all(hit.sealed for hit in plain.query("c", [0.1, 0.2]))
        assert plain.query("c", [0.1, 0.2], open=KEY)[0].payload["secret"] == "words 0"
        assert plain.query("c", [0.1, 0.2], open=OTHER)[0].sealed


def test_recipients_in_order_of_precedence(server):
    with client_of(server) as client:
        own = PrivateKey.generate()
        batch = [Point(1, [1.0], {"a": 1}), Point(2, [1.0], {"a": 2}, seal=own)]
        client.upsert("c", batch, seal=OTHER.public_key)
        kids = {n: client.query("c", [1.0], open=key) for n, key in ((1, OTHER), (2, own))}
        assert [hit.id for hit in kids[1] if not hit.sealed] == [1]
        assert [hit.id for hit in kids[2] if not hit.sealed] == [2]
        assert not any(point.HasField("public_key") for point in server.requests[0].points)
        with pytest.raises(ValueError):
            client.upsert("c", points(1), public_key=KEY)


def test_a_recipient_function_and_fresh_keys(server):
    chosen = {1: KEY, 2: OTHER}
    sealing = Sealing(
        recipient=lambda collection, point_id: chosen.get(point_id), private_keys=[KEY, OTHER], fresh_ephemeral=True
    )
    with Client(server.target, sealing=sealing) as client:
        client.upsert("c", [Point(1, [1.0], {"a": 1}), Point(2, [1.0], {"a": 2})])
        assert [hit.payload for hit in client.query("c", [1.0])] == [{"a": 1}, {"a": 2}]
        with pytest.raises(SealError):
            client.upsert("c", [Point(3, [1.0], {"a": 3})])
        assert len(server.requests) == 1


def test_server_side_sealing_passes_the_key_on(server):
    with Client(server.target) as client:
        client.upsert("c", points(1), public_key=KEY)
        assert server.requests[0].public_key == KEY.public_key.to_hex()


def test_partial_updates(server):
    with client_of(server) as client:
        client.upsert("c", points(2))
        client.set_payload("c", {"n": 7, "more": "x"}, ids=[0, 1])
        assert [len(r.points_selector.points.ids) for r in server.requests[1:]] == [1, 1]
        assert client.retrieve("c", [1])[0].payload == {**points(2)[1].payload, "n": 7, "more": "x"}
        client.overwrite_payload("c", {"only": True}, ids=[1])
        assert client.retrieve("c", [1])[0].payload == {"only": True}
        sent = len(server.requests)
        with pytest.raises(SealError, match="by ids"):
            client.set_payload("c", {"n": 8}, filter={"must": [{"field": {"key": "pos", "match": {"keyword": "n"}}}]})
        assert len(server.requests) == sent


def test_sealing_ids_are_pinned(server):
    with client_of(server) as client:
        client.upsert("c", points(1))
        server.sealing_ids["c"] = bytes(16)
        client.upsert("c", points(1))
        assert client.query("c", [1.0])[0].payload["secret"] == "words 0"
    # An envelope made for another collection, and one moved to another point, are refused.
    with client_of(server, collections={"c": bytes(16)}) as client, pytest.raises(OpenError):
        client.query("c", [1.0])
    with client_of(server) as client:
        server.sealing_ids.pop("c")
        client.upsert("d", points(2))
        stored = server.points["d"]
        stored[0].payload[SEALED_KEY].CopyFrom(stored[1].payload[SEALED_KEY])
        with pytest.raises(OpenError):
            client.query("d", [1.0])


def test_a_plain_qdrant_never_loses_envelopes(server):
    with client_of(server, collections={"c": CollectionPin(bytes(16))}) as client:
        client.upsert("c", points(1))
        with pytest.raises(SealError, match="older envelopes"):
            client.set_payload("c", {"n": 1}, ids=[0])
        client.set_payload("c", {"pos": "v"}, ids=[0])
        assert client.query("c", [1.0])[0].payload == {**points(1)[0].payload, "pos": "v"}
        assert server.policy_calls == 0


def test_bad_points_are_not_sent(server):
    with client_of(server) as client:
        for bad in (
            [Point(1, [1.0], {"x": 2**63})],
            [Point(1, [1.0], {"x": object()})],
            [Point(1, [1.0], {SEALED_KEY: 1})],
        ):
            with pytest.raises((SealError, TypeError, ValueError)):
                client.upsert("c", bad)
        assert server.requests == []


def test_strict_refuses_foreign_envelopes(server):
    with client_of(server) as client:
        client.upsert("c", points(1), seal=OTHER)
        assert client.query("c", [1.0])[0].sealed
    with client_of(server, strict=True) as client, pytest.raises(OpenError):
        client.query("c", [1.0])


def test_bulk_upsert_resumes_after_cuts(server):
    server.cuts = [2, 0, 3]
    with client_of(server) as client:
        acks = list(client.bulk_upsert("c", points(95), chunk_points=10, chunks_in_flight=3))
        assert [ack.sequence for ack in acks] == list(range(1, 11))
        assert server.connections == 4
        assert acks[-1].durable_sequence == 10 and len(server.points["c"]) == 95
        sent = [chunk.sequence for chunk in server.requests]
        assert sent == list(range(1, 11)), "every chunk is applied once"
        assert {hit.payload["secret"] for hit in client.query("c", [1.0])} == {p.payload["secret"] for p in points(95)}
        enc = [payload_to_dict(c.points[0].payload)[SEALED_KEY][0]["ephemeral_public_key"] for c in server.requests]
        assert len(set(enc)) == 10, "one ephemeral key for each chunk"


def test_bulk_upsert_goes_on_after_a_crash(server):
    with client_of(server) as client:
        stream = client.bulk_upsert("c", points(50), chunk_points=10, stream_id="mine", chunks_in_flight=1)
        first = next(stream)
        stream.close()
        held = server.streams[("c", "mine")]
        acks = list(client.bulk_upsert("c", points(50), chunk_points=10, stream_id="mine"))
        assert first.applied and [ack.sequence for ack in acks] == [1, 2, 3, 4, 5]
        assert [ack.applied for ack in acks] == [n > held for n in range(1, 6)]
        assert [chunk.sequence for chunk in server.requests] == [1, 2, 3, 4, 5]


def test_bulk_upsert_reports_what_the_input_raised(server):
    def broken():
        yield from points(10)
        raise RuntimeError("the input broke")

    with client_of(server) as client:
        with pytest.raises(RuntimeError, match="the input broke"):
            list(client.bulk_upsert("c", broken(), chunk_points=4))
        with pytest.raises(ValueError):
            list(client.bulk_upsert("c", [Point(1, [1.0], {"x": 2**63})]))
        server.streams[("c", "lost")] = 0
    assert all(SEALED_KEY in point.payload for point in server.points["c"].values())


def test_bulk_upsert_gives_up(server):
    server.cuts = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    with client_of(server) as client:
        # Every connection applies one chunk and is cut: progress resets the count, so all of it arrives.
        assert len(list(client.bulk_upsert("c", points(5), chunk_points=1))) == 5
        server.streams[("c", "s")] = 9
        # The server holds more chunks than the input has: all of it is passed over, and nothing is sent.
        assert [ack.applied for ack in client.bulk_upsert("c", points(2), chunk_points=1, stream_id="s")] == [
            False,
            False,
        ]
    assert IngestError("x", 3).last_sequence == 3


def test_s5_progress(server):
    with Client(server.target) as client:
        events = [
            event.WhichOneof("event") for event in client.s5_load("home/m.json", "0xabc", bytes(32), session_id="s")
        ]
        assert events == ["manifest_downloaded", "chunk_downloaded", "loading_complete"]
        with pytest.raises(ValueError):
            next(client.s5_load("home/m.json", "0xabc", bytes(31), session_id="s"))


def test_async_client(server):
    async def run():
        sealing = Sealing(recipient=KEY, private_keys=[KEY], clear_fields=["pos"])
        async with AsyncClient(server.target, sealing=sealing) as client:
            await client.upsert("c", points(3))
            assert b"words" not in server.requests[0].SerializeToString()
            assert [hit.payload for hit in await client.query("c", [1.0])] == [p.payload for p in points(3)]
            assert [r.payload["n"] async for r in client.scroll("c", page_size=2)] == [0, 1, 2]
            await client.set_payload("c", {"n": 9}, ids=[0])
            assert (await client.retrieve("c", [0]))[0].payload["n"] == 9
            server.cuts = [2, 0, 1]
            server.requests.clear()

            async def feed():
                for point in points(95):
                    yield point

            acks = [ack async for ack in client.bulk_upsert("d", feed(), chunk_points=10, chunks_in_flight=3)]
            assert [ack.sequence for ack in acks] == list(range(1, 11))
            assert [chunk.sequence for chunk in server.requests] == list(range(1, 11))
            assert len(await client.query("d", [1.0])) == 95
            with pytest.raises(ValueError):
                async for _ in client.bulk_upsert("d", [Point(1, [1.0], {"x": 2**63})]):
                    pass
            events = [e.WhichOneof("event") async for e in client.s5_load("m", "0x", bytes(32), collection="c")]
            assert events[-1] == "loading_complete"

    asyncio.run(asyncio.wait_for(run(), 60))
