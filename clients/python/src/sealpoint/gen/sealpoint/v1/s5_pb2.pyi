from sealpoint.gen.qdrant import qdrant_common_pb2 as _qdrant_common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_SOURCE_UNSPECIFIED: _ClassVar[SessionSource]
    SESSION_SOURCE_LOAD: _ClassVar[SessionSource]
    SESSION_SOURCE_UPLOAD: _ClassVar[SessionSource]
SESSION_SOURCE_UNSPECIFIED: SessionSource
SESSION_SOURCE_LOAD: SessionSource
SESSION_SOURCE_UPLOAD: SessionSource

class LoadRequest(_message.Message):
    __slots__ = ("manifest_path", "user_address", "session_key", "session_id", "collection_name", "detach", "strict_address", "parallel_chunks", "revalidate", "attach_as", "persist", "not_before")
    MANIFEST_PATH_FIELD_NUMBER: _ClassVar[int]
    USER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    STRICT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PARALLEL_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    REVALIDATE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_AS_FIELD_NUMBER: _ClassVar[int]
    PERSIST_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    manifest_path: str
    user_address: str
    session_key: bytes
    session_id: str
    collection_name: str
    detach: bool
    strict_address: bool
    parallel_chunks: int
    revalidate: bool
    attach_as: str
    persist: bool
    not_before: int
    def __init__(self, manifest_path: _Optional[str] = ..., user_address: _Optional[str] = ..., session_key: _Optional[bytes] = ..., session_id: _Optional[str] = ..., collection_name: _Optional[str] = ..., detach: _Optional[bool] = ..., strict_address: _Optional[bool] = ..., parallel_chunks: _Optional[int] = ..., revalidate: _Optional[bool] = ..., attach_as: _Optional[str] = ..., persist: _Optional[bool] = ..., not_before: _Optional[int] = ...) -> None: ...

class LoadResponse(_message.Message):
    __slots__ = ("manifest_downloaded", "chunk_downloaded", "index_building", "loading_complete", "loading_error", "index_ready")
    MANIFEST_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    INDEX_BUILDING_FIELD_NUMBER: _ClassVar[int]
    LOADING_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LOADING_ERROR_FIELD_NUMBER: _ClassVar[int]
    INDEX_READY_FIELD_NUMBER: _ClassVar[int]
    manifest_downloaded: ManifestDownloaded
    chunk_downloaded: ChunkDownloaded
    index_building: IndexBuilding
    loading_complete: LoadingComplete
    loading_error: LoadingError
    index_ready: IndexReady
    def __init__(self, manifest_downloaded: _Optional[_Union[ManifestDownloaded, _Mapping]] = ..., chunk_downloaded: _Optional[_Union[ChunkDownloaded, _Mapping]] = ..., index_building: _Optional[_Union[IndexBuilding, _Mapping]] = ..., loading_complete: _Optional[_Union[LoadingComplete, _Mapping]] = ..., loading_error: _Optional[_Union[LoadingError, _Mapping]] = ..., index_ready: _Optional[_Union[IndexReady, _Mapping]] = ...) -> None: ...

class ManifestDownloaded(_message.Message):
    __slots__ = ("name", "chunks", "vectors", "dimensions", "size_bytes", "updated")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    name: str
    chunks: int
    vectors: int
    dimensions: int
    size_bytes: int
    updated: int
    def __init__(self, name: _Optional[str] = ..., chunks: _Optional[int] = ..., vectors: _Optional[int] = ..., dimensions: _Optional[int] = ..., size_bytes: _Optional[int] = ..., updated: _Optional[int] = ...) -> None: ...

class ChunkDownloaded(_message.Message):
    __slots__ = ("chunk_id", "total", "percent", "vectors_loaded")
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    VECTORS_LOADED_FIELD_NUMBER: _ClassVar[int]
    chunk_id: int
    total: int
    percent: float
    vectors_loaded: int
    def __init__(self, chunk_id: _Optional[int] = ..., total: _Optional[int] = ..., percent: _Optional[float] = ..., vectors_loaded: _Optional[int] = ...) -> None: ...

class IndexBuilding(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LoadingComplete(_message.Message):
    __slots__ = ("vector_count", "load_time_ms", "from_cache", "chunks_downloaded")
    VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    FROM_CACHE_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    vector_count: int
    load_time_ms: int
    from_cache: bool
    chunks_downloaded: int
    def __init__(self, vector_count: _Optional[int] = ..., load_time_ms: _Optional[int] = ..., from_cache: _Optional[bool] = ..., chunks_downloaded: _Optional[int] = ...) -> None: ...

class IndexReady(_message.Message):
    __slots__ = ("build_time_ms",)
    BUILD_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    build_time_ms: int
    def __init__(self, build_time_ms: _Optional[int] = ...) -> None: ...

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

class WatchRequest(_message.Message):
    __slots__ = ("session_id", "collection_name")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    collection_name: str
    def __init__(self, session_id: _Optional[str] = ..., collection_name: _Optional[str] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("manifest_downloaded", "chunk_downloaded", "index_building", "loading_complete", "loading_error", "index_ready")
    MANIFEST_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    INDEX_BUILDING_FIELD_NUMBER: _ClassVar[int]
    LOADING_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LOADING_ERROR_FIELD_NUMBER: _ClassVar[int]
    INDEX_READY_FIELD_NUMBER: _ClassVar[int]
    manifest_downloaded: ManifestDownloaded
    chunk_downloaded: ChunkDownloaded
    index_building: IndexBuilding
    loading_complete: LoadingComplete
    loading_error: LoadingError
    index_ready: IndexReady
    def __init__(self, manifest_downloaded: _Optional[_Union[ManifestDownloaded, _Mapping]] = ..., chunk_downloaded: _Optional[_Union[ChunkDownloaded, _Mapping]] = ..., index_building: _Optional[_Union[IndexBuilding, _Mapping]] = ..., loading_complete: _Optional[_Union[LoadingComplete, _Mapping]] = ..., loading_error: _Optional[_Union[LoadingError, _Mapping]] = ..., index_ready: _Optional[_Union[IndexReady, _Mapping]] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("session_id", "collection_name")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    collection_name: str
    def __init__(self, session_id: _Optional[str] = ..., collection_name: _Optional[str] = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("not_started", "loading", "loaded", "error")
    NOT_STARTED_FIELD_NUMBER: _ClassVar[int]
    LOADING_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    not_started: NotStarted
    loading: Loading
    loaded: Loaded
    error: LoadingError
    def __init__(self, not_started: _Optional[_Union[NotStarted, _Mapping]] = ..., loading: _Optional[_Union[Loading, _Mapping]] = ..., loaded: _Optional[_Union[Loaded, _Mapping]] = ..., error: _Optional[_Union[LoadingError, _Mapping]] = ...) -> None: ...

class NotStarted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Loading(_message.Message):
    __slots__ = ("percent", "vectors_loaded", "vector_count")
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    VECTORS_LOADED_FIELD_NUMBER: _ClassVar[int]
    VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    percent: float
    vectors_loaded: int
    vector_count: int
    def __init__(self, percent: _Optional[float] = ..., vectors_loaded: _Optional[int] = ..., vector_count: _Optional[int] = ...) -> None: ...

class Loaded(_message.Message):
    __slots__ = ("vector_count", "load_time_ms", "index_ready", "memory_bytes")
    VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    INDEX_READY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    vector_count: int
    load_time_ms: int
    index_ready: bool
    memory_bytes: int
    def __init__(self, vector_count: _Optional[int] = ..., load_time_ms: _Optional[int] = ..., index_ready: _Optional[bool] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("session_id", "vector", "k", "threshold", "filter", "allow_partial", "exact", "hnsw_ef")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    HNSW_EF_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    vector: _containers.RepeatedScalarFieldContainer[float]
    k: int
    threshold: float
    filter: _qdrant_common_pb2.Filter
    allow_partial: bool
    exact: bool
    hnsw_ef: int
    def __init__(self, session_id: _Optional[str] = ..., vector: _Optional[_Iterable[float]] = ..., k: _Optional[int] = ..., threshold: _Optional[float] = ..., filter: _Optional[_Union[_qdrant_common_pb2.Filter, _Mapping]] = ..., allow_partial: _Optional[bool] = ..., exact: _Optional[bool] = ..., hnsw_ef: _Optional[int] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("hits", "partial", "percent")
    HITS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[SearchHit]
    partial: bool
    percent: float
    def __init__(self, hits: _Optional[_Iterable[_Union[SearchHit, _Mapping]]] = ..., partial: _Optional[bool] = ..., percent: _Optional[float] = ...) -> None: ...

class SearchHit(_message.Message):
    __slots__ = ("id", "score", "metadata")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    score: float
    metadata: str
    def __init__(self, id: _Optional[str] = ..., score: _Optional[float] = ..., metadata: _Optional[str] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("session_id", "vectors", "replace")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    vectors: _containers.RepeatedCompositeFieldContainer[UploadVector]
    replace: bool
    def __init__(self, session_id: _Optional[str] = ..., vectors: _Optional[_Iterable[_Union[UploadVector, _Mapping]]] = ..., replace: _Optional[bool] = ...) -> None: ...

class UploadVector(_message.Message):
    __slots__ = ("id", "vector", "metadata")
    ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    vector: _containers.RepeatedScalarFieldContainer[float]
    metadata: str
    def __init__(self, id: _Optional[str] = ..., vector: _Optional[_Iterable[float]] = ..., metadata: _Optional[str] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("vector_count",)
    VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    vector_count: int
    def __init__(self, vector_count: _Optional[int] = ...) -> None: ...

class RefreshRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class RefreshResponse(_message.Message):
    __slots__ = ("manifest_downloaded", "chunk_downloaded", "index_building", "loading_complete", "loading_error", "index_ready")
    MANIFEST_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    INDEX_BUILDING_FIELD_NUMBER: _ClassVar[int]
    LOADING_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LOADING_ERROR_FIELD_NUMBER: _ClassVar[int]
    INDEX_READY_FIELD_NUMBER: _ClassVar[int]
    manifest_downloaded: ManifestDownloaded
    chunk_downloaded: ChunkDownloaded
    index_building: IndexBuilding
    loading_complete: LoadingComplete
    loading_error: LoadingError
    index_ready: IndexReady
    def __init__(self, manifest_downloaded: _Optional[_Union[ManifestDownloaded, _Mapping]] = ..., chunk_downloaded: _Optional[_Union[ChunkDownloaded, _Mapping]] = ..., index_building: _Optional[_Union[IndexBuilding, _Mapping]] = ..., loading_complete: _Optional[_Union[LoadingComplete, _Mapping]] = ..., loading_error: _Optional[_Union[LoadingError, _Mapping]] = ..., index_ready: _Optional[_Union[IndexReady, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("sessions", "collections")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    collections: _containers.RepeatedCompositeFieldContainer[CollectionLoad]
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ..., collections: _Optional[_Iterable[_Union[CollectionLoad, _Mapping]]] = ...) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("session_id", "source", "manifest_path", "status", "dimensions", "created_at", "last_used_at", "attached_as")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_PATH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_AS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    source: SessionSource
    manifest_path: str
    status: StatusResponse
    dimensions: int
    created_at: int
    last_used_at: int
    attached_as: str
    def __init__(self, session_id: _Optional[str] = ..., source: _Optional[_Union[SessionSource, str]] = ..., manifest_path: _Optional[str] = ..., status: _Optional[_Union[StatusResponse, _Mapping]] = ..., dimensions: _Optional[int] = ..., created_at: _Optional[int] = ..., last_used_at: _Optional[int] = ..., attached_as: _Optional[str] = ...) -> None: ...

class CollectionLoad(_message.Message):
    __slots__ = ("collection_name", "manifest_path", "status")
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_PATH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    manifest_path: str
    status: StatusResponse
    def __init__(self, collection_name: _Optional[str] = ..., manifest_path: _Optional[str] = ..., status: _Optional[_Union[StatusResponse, _Mapping]] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("session_id", "collection_name")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    collection_name: str
    def __init__(self, session_id: _Optional[str] = ..., collection_name: _Optional[str] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ("cancelled",)
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: bool
    def __init__(self, cancelled: _Optional[bool] = ...) -> None: ...

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

class HealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthResponse(_message.Message):
    __slots__ = ("reachable", "portals")
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    PORTALS_FIELD_NUMBER: _ClassVar[int]
    reachable: bool
    portals: _containers.RepeatedCompositeFieldContainer[PortalHealth]
    def __init__(self, reachable: _Optional[bool] = ..., portals: _Optional[_Iterable[_Union[PortalHealth, _Mapping]]] = ...) -> None: ...

class PortalHealth(_message.Message):
    __slots__ = ("portal", "reachable", "latency_ms", "checked_at")
    PORTAL_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CHECKED_AT_FIELD_NUMBER: _ClassVar[int]
    portal: str
    reachable: bool
    latency_ms: int
    checked_at: int
    def __init__(self, portal: _Optional[str] = ..., reachable: _Optional[bool] = ..., latency_ms: _Optional[int] = ..., checked_at: _Optional[int] = ...) -> None: ...
