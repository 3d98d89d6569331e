from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LoadRequest(_message.Message):
    __slots__ = ("manifest_path", "user_address", "session_key", "session_id", "collection_name")
    MANIFEST_PATH_FIELD_NUMBER: _ClassVar[int]
    USER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    manifest_path: str
    user_address: str
    session_key: bytes
    session_id: str
    collection_name: str
    def __init__(self, manifest_path: _Optional[str] = ..., user_address: _Optional[str] = ..., session_key: _Optional[bytes] = ..., session_id: _Optional[str] = ..., collection_name: _Optional[str] = ...) -> None: ...

class LoadResponse(_message.Message):
    __slots__ = ("manifest_downloaded", "chunk_downloaded", "index_building", "loading_complete", "loading_error")
    MANIFEST_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    INDEX_BUILDING_FIELD_NUMBER: _ClassVar[int]
    LOADING_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LOADING_ERROR_FIELD_NUMBER: _ClassVar[int]
    manifest_downloaded: ManifestDownloaded
    chunk_downloaded: ChunkDownloaded
    index_building: IndexBuilding
    loading_complete: LoadingComplete
    loading_error: LoadingError
    def __init__(self, manifest_downloaded: _Optional[_Union[ManifestDownloaded, _Mapping]] = ..., chunk_downloaded: _Optional[_Union[ChunkDownloaded, _Mapping]] = ..., index_building: _Optional[_Union[IndexBuilding, _Mapping]] = ..., loading_complete: _Optional[_Union[LoadingComplete, _Mapping]] = ..., loading_error: _Optional[_Union[LoadingError, _Mapping]] = ...) -> None: ...

class ManifestDownloaded(_message.Message):
    __slots__ = ("name", "chunks", "vectors", "dimensions")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    chunks: int
    vectors: int
    dimensions: int
    def __init__(self, name: _Optional[str] = ..., chunks: _Optional[int] = ..., vectors: _Optional[int] = ..., dimensions: _Optional[int] = ...) -> None: ...

class ChunkDownloaded(_message.Message):
    __slots__ = ("chunk_id", "total", "percent")
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    chunk_id: int
    total: int
    percent: float
    def __init__(self, chunk_id: _Optional[int] = ..., total: _Optional[int] = ..., percent: _Optional[float] = ...) -> None: ...

class IndexBuilding(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LoadingComplete(_message.Message):
    __slots__ = ("vector_count", "load_time_ms")
    VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    vector_count: int
    load_time_ms: int
    def __init__(self, vector_count: _Optional[int] = ..., load_time_ms: _Optional[int] = ...) -> None: ...

class LoadingError(_message.Message):
    __slots__ = ("code", "message", "is_retryable", "is_security")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    IS_RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    IS_SECURITY_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    is_retryable: bool
    is_security: bool
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., is_retryable: _Optional[bool] = ..., is_security: _Optional[bool] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("session_id", "vector", "k", "threshold")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    vector: _containers.RepeatedScalarFieldContainer[float]
    k: int
    threshold: float
    def __init__(self, session_id: _Optional[str] = ..., vector: _Optional[_Iterable[float]] = ..., k: _Optional[int] = ..., threshold: _Optional[float] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("hits",)
    HITS_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[SearchHit]
    def __init__(self, hits: _Optional[_Iterable[_Union[SearchHit, _Mapping]]] = ...) -> None: ...

class SearchHit(_message.Message):
    __slots__ = ("id", "score", "metadata")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    score: float
    metadata: str
    def __init__(self, id: _Optional[str] = ..., score: _Optional[float] = ..., metadata: _Optional[str] = ...) -> None: ...

class CloseRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class CloseResponse(_message.Message):
    __slots__ = ("closed",)
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    closed: bool
    def __init__(self, closed: _Optional[bool] = ...) -> None: ...
