from sealpoint.gen.qdrant import points_pb2 as _points_pb2
from sealpoint.gen.qdrant import qdrant_common_pb2 as _qdrant_common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BulkUpsertRequest(_message.Message):
    __slots__ = ("start", "chunk")
    START_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    start: BulkUpsertStart
    chunk: BulkUpsertChunk
    def __init__(self, start: _Optional[_Union[BulkUpsertStart, _Mapping]] = ..., chunk: _Optional[_Union[BulkUpsertChunk, _Mapping]] = ...) -> None: ...

class BulkUpsertStart(_message.Message):
    __slots__ = ("collection_name", "stream_id", "public_key", "fresh_ephemeral")
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    FRESH_EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    stream_id: str
    public_key: str
    fresh_ephemeral: bool
    def __init__(self, collection_name: _Optional[str] = ..., stream_id: _Optional[str] = ..., public_key: _Optional[str] = ..., fresh_ephemeral: _Optional[bool] = ...) -> None: ...

class BulkUpsertChunk(_message.Message):
    __slots__ = ("sequence", "points")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    points: _containers.RepeatedCompositeFieldContainer[_points_pb2.PointStruct]
    def __init__(self, sequence: _Optional[int] = ..., points: _Optional[_Iterable[_Union[_points_pb2.PointStruct, _Mapping]]] = ...) -> None: ...

class BulkUpsertResponse(_message.Message):
    __slots__ = ("started", "ack")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    started: BulkUpsertStarted
    ack: BulkUpsertAck
    def __init__(self, started: _Optional[_Union[BulkUpsertStarted, _Mapping]] = ..., ack: _Optional[_Union[BulkUpsertAck, _Mapping]] = ...) -> None: ...

class BulkUpsertStarted(_message.Message):
    __slots__ = ("last_applied_sequence", "chunk_points_max", "bytes_in_flight_max")
    LAST_APPLIED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_POINTS_MAX_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FLIGHT_MAX_FIELD_NUMBER: _ClassVar[int]
    last_applied_sequence: int
    chunk_points_max: int
    bytes_in_flight_max: int
    def __init__(self, last_applied_sequence: _Optional[int] = ..., chunk_points_max: _Optional[int] = ..., bytes_in_flight_max: _Optional[int] = ...) -> None: ...

class BulkUpsertAck(_message.Message):
    __slots__ = ("sequence", "durable_sequence", "applied", "points_applied", "refused")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DURABLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    POINTS_APPLIED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    durable_sequence: int
    applied: bool
    points_applied: int
    refused: _containers.RepeatedCompositeFieldContainer[PointStatus]
    def __init__(self, sequence: _Optional[int] = ..., durable_sequence: _Optional[int] = ..., applied: _Optional[bool] = ..., points_applied: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[PointStatus, _Mapping]]] = ...) -> None: ...

class PointStatus(_message.Message):
    __slots__ = ("index", "id", "code", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: _qdrant_common_pb2.PointId
    code: int
    message: str
    def __init__(self, index: _Optional[int] = ..., id: _Optional[_Union[_qdrant_common_pb2.PointId, _Mapping]] = ..., code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class ScrollRequest(_message.Message):
    __slots__ = ("collection_name", "filter", "after", "with_payload", "with_vectors", "page_size", "limit")
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    WITH_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTORS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    filter: _qdrant_common_pb2.Filter
    after: _qdrant_common_pb2.PointId
    with_payload: _points_pb2.WithPayloadSelector
    with_vectors: _points_pb2.WithVectorsSelector
    page_size: int
    limit: int
    def __init__(self, collection_name: _Optional[str] = ..., filter: _Optional[_Union[_qdrant_common_pb2.Filter, _Mapping]] = ..., after: _Optional[_Union[_qdrant_common_pb2.PointId, _Mapping]] = ..., with_payload: _Optional[_Union[_points_pb2.WithPayloadSelector, _Mapping]] = ..., with_vectors: _Optional[_Union[_points_pb2.WithVectorsSelector, _Mapping]] = ..., page_size: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ScrollResponse(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[_points_pb2.RetrievedPoint]
    def __init__(self, points: _Optional[_Iterable[_Union[_points_pb2.RetrievedPoint, _Mapping]]] = ...) -> None: ...
