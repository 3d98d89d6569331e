from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Snapshot(_message.Message):
    __slots__ = ("name", "created_ms", "size", "checksum", "base_checksum")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    BASE_CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    name: str
    created_ms: int
    size: int
    checksum: str
    base_checksum: str
    def __init__(self, name: _Optional[str] = ..., created_ms: _Optional[int] = ..., size: _Optional[int] = ..., checksum: _Optional[str] = ..., base_checksum: _Optional[str] = ...) -> None: ...

class SnapshotsCreateRequest(_message.Message):
    __slots__ = ("collection_name", "base")
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    base: str
    def __init__(self, collection_name: _Optional[str] = ..., base: _Optional[str] = ...) -> None: ...

class SnapshotsCreateResponse(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class SnapshotsListRequest(_message.Message):
    __slots__ = ("collection_name",)
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    def __init__(self, collection_name: _Optional[str] = ...) -> None: ...

class SnapshotsListResponse(_message.Message):
    __slots__ = ("snapshots",)
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    def __init__(self, snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ...) -> None: ...

class SnapshotsDownloadRequest(_message.Message):
    __slots__ = ("collection_name", "snapshot_name", "base", "offset")
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_NAME_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    snapshot_name: str
    base: str
    offset: int
    def __init__(self, collection_name: _Optional[str] = ..., snapshot_name: _Optional[str] = ..., base: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class SnapshotsDownloadResponse(_message.Message):
    __slots__ = ("snapshot", "piece")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    piece: bytes
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class SnapshotsRestoreRequest(_message.Message):
    __slots__ = ("start", "piece", "next_file")
    class Start(_message.Message):
        __slots__ = ("collection_name", "checksum")
        COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
        CHECKSUM_FIELD_NUMBER: _ClassVar[int]
        collection_name: str
        checksum: str
        def __init__(self, collection_name: _Optional[str] = ..., checksum: _Optional[str] = ...) -> None: ...
    class NextFile(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    START_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FILE_FIELD_NUMBER: _ClassVar[int]
    start: SnapshotsRestoreRequest.Start
    piece: bytes
    next_file: SnapshotsRestoreRequest.NextFile
    def __init__(self, start: _Optional[_Union[SnapshotsRestoreRequest.Start, _Mapping]] = ..., piece: _Optional[bytes] = ..., next_file: _Optional[_Union[SnapshotsRestoreRequest.NextFile, _Mapping]] = ...) -> None: ...

class SnapshotsRestoreResponse(_message.Message):
    __slots__ = ("collection_name",)
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    def __init__(self, collection_name: _Optional[str] = ...) -> None: ...
