"""Builds requests and reads answers, for both clients alike."""

from __future__ import annotations

import uuid
from typing import Any, Iterable, Mapping, Sequence

from google.protobuf import json_format

from ..gen.qdrant import collections_pb2, points_pb2, qdrant_common_pb2
from ..gen.sealpoint.policy.v1 import policy_pb2
from ..gen.sealpoint.v1 import ingest_pb2, s5_pb2
from ..messages.values import payload_to_dict, set_payload
from ..seal import PointId, PublicKey, PublicKeyLike
from .model import Hit, IngestAck, Point, Record, RefusedPoint, SealingState

_MODES = {"off": 1, "optional": 2, "required": 3}
_MODE_NAMES = {number: name for name, number in _MODES.items()}


def point_id(value: PointId) -> qdrant_common_pb2.PointId:
    if isinstance(value, bool):
        raise TypeError("a point id is a number or a UUID")
    if isinstance(value, int):
        return qdrant_common_pb2.PointId(num=value)
    if isinstance(value, (str, uuid.UUID)):
        return qdrant_common_pb2.PointId(uuid=str(value))
    raise TypeError("a point id is a number or a UUID")


def point_struct(point: Any) -> points_pb2.PointStruct:
    """A Point, a tuple (id, vector[, payload]) or a PointStruct."""
    if isinstance(point, points_pb2.PointStruct):
        return point
    if isinstance(point, tuple):
        point = Point(*point)
    if not isinstance(point, Point):
        raise TypeError(f"a point is a Point, a tuple or a PointStruct, not {type(point).__name__}")
    message = points_pb2.PointStruct(id=point_id(point.id))
    set_vectors(message.vectors, point.vector)
    set_payload(message.payload, point.payload or {})
    if point.seal is not None:
        message.public_key = key_text(point.seal)
    return message


def key_text(key: PublicKeyLike) -> str:
    return PublicKey.parse(key).to_hex()


def set_vectors(target: Any, vector: Any) -> None:
    if isinstance(vector, Mapping):
        for name, values in vector.items():
            target.vectors.vectors[name].dense.data.extend(values)
        return
    target.vector.dense.data.extend(vector)


def vectors_of(message: Any) -> Any:
    kind = message.WhichOneof("vectors_options")
    if kind == "vector":
        return _vector_of(message.vector)
    if kind == "vectors":
        return {name: _vector_of(message.vectors.vectors[name]) for name in message.vectors.vectors}
    return None


def _vector_of(message: Any) -> Any:
    kind = message.WhichOneof("vector")
    if kind == "dense":
        return list(message.dense.data)
    if kind == "sparse":
        return dict(zip(message.sparse.indices, message.sparse.values, strict=True))
    if kind == "multi_dense":
        return [list(row.data) for row in message.multi_dense.vectors]
    return list(message.data)


def filter_message(value: Any) -> qdrant_common_pb2.Filter | None:
    """A Filter, or its protobuf JSON as a dict: {"must": [{"field": {"key": "pos", "match": {"keyword": "n"}}}]}."""
    if value is None or isinstance(value, qdrant_common_pb2.Filter):
        return value
    return json_format.ParseDict(value, qdrant_common_pb2.Filter())


def with_payload(value: bool | Sequence[str]) -> points_pb2.WithPayloadSelector:
    if isinstance(value, bool):
        return points_pb2.WithPayloadSelector(enable=value)
    return points_pb2.WithPayloadSelector(include=points_pb2.PayloadIncludeSelector(fields=list(value)))


def with_vectors(value: bool | Sequence[str]) -> points_pb2.WithVectorsSelector:
    if isinstance(value, bool):
        return points_pb2.WithVectorsSelector(enable=value)
    return points_pb2.WithVectorsSelector(include=points_pb2.VectorsSelector(names=list(value)))


def upsert(
    collection: str, points: Iterable[Any], wait: bool, public_key: PublicKeyLike | None, fresh_ephemeral: bool
) -> points_pb2.UpsertPoints:
    message = points_pb2.UpsertPoints(collection_name=collection, wait=wait)
    message.points.extend(point_struct(point) for point in points)
    if public_key is not None:
        message.public_key = key_text(public_key)
    if fresh_ephemeral:
        message.fresh_ephemeral = True
    return message


def selector(ids: Iterable[PointId] | None, filter: Any) -> points_pb2.PointsSelector:
    if (ids is None) == (filter is None):
        raise ValueError("give either ids or filter")
    if ids is not None:
        return points_pb2.PointsSelector(points=points_pb2.PointsIdsList(ids=[point_id(value) for value in ids]))
    return points_pb2.PointsSelector(filter=filter_message(filter))


def payload_update(
    collection: str, payload: Mapping[str, Any], ids: Any, filter: Any, wait: bool, public_key: PublicKeyLike | None
) -> points_pb2.SetPayloadPoints:
    message = points_pb2.SetPayloadPoints(collection_name=collection, wait=wait)
    message.points_selector.CopyFrom(selector(ids, filter))
    set_payload(message.payload, payload)
    if public_key is not None:
        message.public_key = key_text(public_key)
    return message


def query(
    collection: str,
    vector: Any,
    limit: int,
    *,
    filter: Any = None,
    using: str | None = None,
    ef: int | None = None,
    exact: bool = False,
    score_threshold: float | None = None,
    offset: int | None = None,
    payload: bool | Sequence[str] = True,
    vectors: bool | Sequence[str] = False,
) -> points_pb2.QueryPoints:
    message = points_pb2.QueryPoints(collection_name=collection, limit=limit, with_payload=with_payload(payload))
    if isinstance(vector, (int, str, uuid.UUID)):
        message.query.nearest.id.CopyFrom(point_id(vector))
    elif vector is not None:
        message.query.nearest.dense.data.extend(vector)
    if filter is not None:
        message.filter.CopyFrom(filter_message(filter))
    if using is not None:
        message.using = using
    if ef is not None:
        message.params.hnsw_ef = ef
    if exact:
        message.params.exact = True
    if score_threshold is not None:
        message.score_threshold = score_threshold
    if offset is not None:
        message.offset = offset
    if vectors is not False:
        message.with_vectors.CopyFrom(with_vectors(vectors))
    return message


def get(collection: str, ids: Iterable[PointId], payload: Any, vectors: Any) -> points_pb2.GetPoints:
    return points_pb2.GetPoints(
        collection_name=collection,
        ids=[point_id(value) for value in ids],
        with_payload=with_payload(payload),
        with_vectors=with_vectors(vectors),
    )


def scroll(
    collection: str, filter: Any, after: PointId | None, payload: Any, vectors: Any, page_size: int, limit: int | None
) -> ingest_pb2.ScrollRequest:
    message = ingest_pb2.ScrollRequest(collection_name=collection, page_size=page_size)
    message.with_payload.CopyFrom(with_payload(payload))
    message.with_vectors.CopyFrom(with_vectors(vectors))
    if filter is not None:
        message.filter.CopyFrom(filter_message(filter))
    if after is not None:
        message.after.CopyFrom(point_id(after))
    if limit is not None:
        message.limit = limit
    return message


def create_collection(
    name: str,
    vectors: Mapping[str, tuple[int, str]] | None,
    size: int | None,
    distance: str,
    sealing: Any,
    options: Any,
) -> collections_pb2.CreateCollection:
    message = collections_pb2.CreateCollection()
    if options:
        json_format.ParseDict(options, message)
    message.collection_name = name
    if vectors is not None:
        for key, (dimensions, metric) in vectors.items():
            params = message.vectors_config.params_map.map[key]
            params.size, params.distance = dimensions, _distance(metric)
    elif size is not None:
        message.vectors_config.params.size = size
        message.vectors_config.params.distance = _distance(distance)
    if sealing is not None:
        message.sealing.CopyFrom(sealing)
    return message


def _distance(name: str) -> int:
    value = {"cosine": "Cosine", "dot": "Dot", "euclid": "Euclid", "manhattan": "Manhattan"}.get(name.lower())
    if value is None:
        raise ValueError("distance: one of Cosine, Dot, Euclid, Manhattan")
    return collections_pb2.Distance.Value(value)


def field_index(collection: str, field: str, kind: str, wait: bool) -> points_pb2.CreateFieldIndexCollection:
    name = "FieldType" + kind[:1].upper() + kind[1:].lower()
    try:
        value = points_pb2.FieldType.Value(name)
    except ValueError:
        raise ValueError(f"field index: unknown type {kind!r}") from None
    return points_pb2.CreateFieldIndexCollection(
        collection_name=collection, field_name=field, field_type=value, wait=wait
    )


def policy(
    mode: str, recipients: Iterable[PublicKeyLike] = (), clear_fields: Iterable[str] = (), padding: bool = False
) -> policy_pb2.SealingPolicy:
    if mode not in _MODES:
        raise ValueError("mode: one of off, optional, required")
    return policy_pb2.SealingPolicy(
        mode=_MODES[mode],
        recipients=[key_text(key) for key in recipients],
        clear_fields=list(clear_fields),
        padding=padding,
    )


def state(message: Any) -> SealingState:
    return SealingState(
        mode=_MODE_NAMES.get(message.policy.mode, "unspecified"),
        recipients=tuple(message.policy.recipients),
        clear_fields=tuple(message.policy.clear_fields),
        padding=message.policy.padding,
        sealing_id=message.sealing_id,
        accepted_sealing_ids=tuple(message.accepted_sealing_ids),
        epoch=message.epoch,
    )


def s5_load(
    manifest_path: str, user_address: str, session_key: bytes, session_id: str | None, collection: str | None
) -> s5_pb2.LoadRequest:
    if (session_id is None) == (collection is None):
        raise ValueError("give either session_id or collection")
    if len(session_key) != 32:
        raise ValueError("session_key: not 32 bytes")
    message = s5_pb2.LoadRequest(manifest_path=manifest_path, user_address=user_address, session_key=session_key)
    if session_id is not None:
        message.session_id = session_id
    else:
        message.collection_name = collection
    return message


def id_of(message: Any) -> Any:
    kind = message.WhichOneof("point_id_options")
    return None if kind is None else getattr(message, kind)


def hit(message: Any) -> Hit:
    return Hit(
        id=id_of(message.id),
        payload=payload_to_dict(message.payload),
        vector=vectors_of(message.vectors) if message.HasField("vectors") else None,
        score=message.score,
        version=message.version,
    )


def record(message: Any) -> Record:
    return Record(
        id=id_of(message.id),
        payload=payload_to_dict(message.payload),
        vector=vectors_of(message.vectors) if message.HasField("vectors") else None,
    )


def ack(message: Any) -> IngestAck:
    return IngestAck(
        sequence=message.sequence,
        durable_sequence=message.durable_sequence,
        applied=message.applied,
        points_applied=message.points_applied,
        refused=tuple(
            RefusedPoint(index=item.index, id=id_of(item.id), code=item.code, message=item.message)
            for item in message.refused
        ),
    )
