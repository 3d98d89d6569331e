"""What must hold under any generated stubs. Run as a script it uses those of qdrant_client."""

import asyncio
import sys

import grpc
import grpc.aio

from sealpoint import PrivateKey, SealError, Sealing, aio_interceptors, intercept_channel
from sealpoint.messages import payload_to_dict, set_payload

PAYLOAD = {"secret": "words", "n": 1, "f": 1.0, "deep": {"list": [1, None, {"x": True}]}, "pos": "n"}


def upsert_request(pb, name="c"):
    request = pb.UpsertPoints(collection_name=name)
    for number in (1, 2):
        point = request.points.add()
        point.id.num = number
        point.vectors.vector.data.extend([0.1, 0.2])
        set_payload(point.payload, PAYLOAD)
    return request


def set_request(pb, ids, **values):
    request = pb.SetPayloadPoints(collection_name="c")
    for number in ids:
        request.points_selector.points.ids.add().num = number
    set_payload(request.payload, values)
    return request


def refused(call, *args):
    try:
        call(*args)
    except SealError:
        return True
    return False


def check(target, pb, stub_of):
    key = PrivateKey.generate()
    sealing = Sealing(recipient=key.public_key, private_keys=[key], clear_fields=["pos"])
    plain, points = (
        stub_of(grpc.insecure_channel(target)),
        stub_of(intercept_channel(grpc.insecure_channel(target), sealing)),
    )
    request = upsert_request(pb)
    before = request.SerializeToString(deterministic=True)
    points.Upsert(request)
    assert request.SerializeToString(deterministic=True) == before, "the caller's request stays as it was"
    query = pb.QueryPoints(collection_name="c")
    stored = plain.Query(query).result
    assert [sorted(hit.payload) for hit in stored] == [["$sealpoint", "pos"]] * 2
    assert b"words" not in stored[0].SerializeToString()
    opened = points.Query(query).result
    assert [payload_to_dict(hit.payload) for hit in opened] == [PAYLOAD, PAYLOAD]
    future = points.Query.future(query)
    assert payload_to_dict(future.result().result[0].payload) == PAYLOAD
    answer, call = points.Query.with_call(query)
    assert payload_to_dict(answer.result[0].payload) == PAYLOAD and call.code() is grpc.StatusCode.OK
    batch = points.QueryBatch(pb.QueryBatchPoints(collection_name="c", query_points=[query, query]))
    assert payload_to_dict(batch.result[1].result[1].payload) == PAYLOAD

    points.Upsert(upsert_request(pb, "looked-up"))
    groups = pb.QueryPointGroups(collection_name="c", with_lookup=pb.WithLookup(collection="looked-up"))
    group = points.QueryGroups(groups).result.groups[0]
    assert payload_to_dict(group.hits[0].payload) == payload_to_dict(group.lookup.payload) == PAYLOAD

    points.SetPayload(set_request(pb, [1, 2], n=2))
    assert [payload_to_dict(hit.payload) for hit in points.Query(query).result] == [{**PAYLOAD, "n": 2}] * 2
    points.OverwritePayload(set_request(pb, [2], only=1))
    assert payload_to_dict(points.Query(query).result[1].payload) == {"only": 1}

    by_filter = pb.SetPayloadPoints(collection_name="c")
    by_filter.points_selector.filter.SetInParent()
    set_payload(by_filter.payload, {"n": 3})
    assert refused(points.SetPayload, by_filter)
    by_key = set_request(pb, [1], n=3)
    by_key.key = "deep.list"
    assert refused(points.SetPayload, by_key)
    no_id = pb.UpsertPoints(collection_name="c", points=[pb.PointStruct()])
    assert refused(points.Upsert, no_id)

    update = pb.UpdateBatchPoints(collection_name="c")
    update.operations.add().upsert.points.extend(upsert_request(pb).points)
    several = update.operations.add().set_payload
    several.points_selector.points.ids.extend(set_request(pb, [1, 2]).points_selector.points.ids)
    set_payload(several.payload, {"n": 5})
    update.operations.add().delete_points.points.points.ids.add().num = 9
    results = points.UpdateBatch(update).result
    assert [result.operation_id for result in results] == [0, 2, 3], "one result for each operation given"
    asyncio.run(check_aio(target, pb, stub_of, key))


async def check_aio(target, pb, stub_of, key):
    sealing = Sealing(recipient=key, private_keys=[key], clear_fields=["pos"])
    async with (
        grpc.aio.insecure_channel(target) as bare,
        grpc.aio.insecure_channel(target, interceptors=aio_interceptors(sealing, bare)) as channel,
    ):
        points = stub_of(channel)
        await points.Upsert(upsert_request(pb, "aio"))
        query = pb.QueryPoints(collection_name="aio")
        stored = await stub_of(bare).Query(query)
        assert b"words" not in stored.SerializeToString()
        opened = await points.Query(query)
        assert [payload_to_dict(hit.payload) for hit in opened.result] == [PAYLOAD, PAYLOAD]
        try:
            await points.Upsert(pb.UpsertPoints(collection_name="aio", points=[pb.PointStruct()]))
        except SealError:
            return
        raise AssertionError("a point without an id was sent")


if __name__ == "__main__":
    from qdrant_client import grpc as qdrant_grpc

    check(sys.argv[1], qdrant_grpc, qdrant_grpc.PointsStub)
    print("sealed under qdrant_client")
