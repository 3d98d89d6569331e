from sealpoint.gen.qdrant import points_pb2 as _points_pb2
from sealpoint.gen.qdrant import qdrant_common_pb2 as _qdrant_common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Strategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRATEGY_UNSPECIFIED: _ClassVar[Strategy]
    STRATEGY_FILTER: _ClassVar[Strategy]
    STRATEGY_FULL_SCAN: _ClassVar[Strategy]
    STRATEGY_MATCHES_SCAN: _ClassVar[Strategy]
    STRATEGY_WALK: _ClassVar[Strategy]
    STRATEGY_MASKED_WALK: _ClassVar[Strategy]
STRATEGY_UNSPECIFIED: Strategy
STRATEGY_FILTER: Strategy
STRATEGY_FULL_SCAN: Strategy
STRATEGY_MATCHES_SCAN: Strategy
STRATEGY_WALK: Strategy
STRATEGY_MASKED_WALK: Strategy

class ExplainRequest(_message.Message):
    __slots__ = ("collection_name", "filter", "query", "using", "params", "limit")
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    USING_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    filter: _qdrant_common_pb2.Filter
    query: _points_pb2.VectorInput
    using: str
    params: _points_pb2.SearchParams
    limit: int
    def __init__(self, collection_name: _Optional[str] = ..., filter: _Optional[_Union[_qdrant_common_pb2.Filter, _Mapping]] = ..., query: _Optional[_Union[_points_pb2.VectorInput, _Mapping]] = ..., using: _Optional[str] = ..., params: _Optional[_Union[_points_pb2.SearchParams, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("points", "plan", "strategy", "candidates", "matches", "exact", "plan_kept", "times", "search", "temporary_indexes", "sealed_skipped")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PLAN_KEPT_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    TEMPORARY_INDEXES_FIELD_NUMBER: _ClassVar[int]
    SEALED_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    points: int
    plan: PlanNode
    strategy: Strategy
    candidates: int
    matches: int
    exact: bool
    plan_kept: bool
    times: ExplainTimes
    search: SearchReport
    temporary_indexes: _containers.RepeatedCompositeFieldContainer[TemporaryIndex]
    sealed_skipped: int
    def __init__(self, points: _Optional[int] = ..., plan: _Optional[_Union[PlanNode, _Mapping]] = ..., strategy: _Optional[_Union[Strategy, str]] = ..., candidates: _Optional[int] = ..., matches: _Optional[int] = ..., exact: _Optional[bool] = ..., plan_kept: _Optional[bool] = ..., times: _Optional[_Union[ExplainTimes, _Mapping]] = ..., search: _Optional[_Union[SearchReport, _Mapping]] = ..., temporary_indexes: _Optional[_Iterable[_Union[TemporaryIndex, _Mapping]]] = ..., sealed_skipped: _Optional[int] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("min", "expected", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: int
    expected: int
    max: int
    def __init__(self, min: _Optional[int] = ..., expected: _Optional[int] = ..., max: _Optional[int] = ...) -> None: ...

class PlanNode(_message.Message):
    __slots__ = ("condition", "key", "access", "index_type", "exact", "estimate", "candidates", "matches", "children")
    class Access(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACCESS_UNSPECIFIED: _ClassVar[PlanNode.Access]
        ACCESS_PARTS: _ClassVar[PlanNode.Access]
        ACCESS_INDEX: _ClassVar[PlanNode.Access]
        ACCESS_TEMPORARY_INDEX: _ClassVar[PlanNode.Access]
        ACCESS_IDS: _ClassVar[PlanNode.Access]
        ACCESS_VECTORS: _ClassVar[PlanNode.Access]
        ACCESS_JUDGED: _ClassVar[PlanNode.Access]
        ACCESS_FEW_LEFT: _ClassVar[PlanNode.Access]
    ACCESS_UNSPECIFIED: PlanNode.Access
    ACCESS_PARTS: PlanNode.Access
    ACCESS_INDEX: PlanNode.Access
    ACCESS_TEMPORARY_INDEX: PlanNode.Access
    ACCESS_IDS: PlanNode.Access
    ACCESS_VECTORS: PlanNode.Access
    ACCESS_JUDGED: PlanNode.Access
    ACCESS_FEW_LEFT: PlanNode.Access
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    condition: str
    key: str
    access: PlanNode.Access
    index_type: str
    exact: bool
    estimate: Estimate
    candidates: int
    matches: int
    children: _containers.RepeatedCompositeFieldContainer[PlanNode]
    def __init__(self, condition: _Optional[str] = ..., key: _Optional[str] = ..., access: _Optional[_Union[PlanNode.Access, str]] = ..., index_type: _Optional[str] = ..., exact: _Optional[bool] = ..., estimate: _Optional[_Union[Estimate, _Mapping]] = ..., candidates: _Optional[int] = ..., matches: _Optional[int] = ..., children: _Optional[_Iterable[_Union[PlanNode, _Mapping]]] = ...) -> None: ...

class ExplainTimes(_message.Message):
    __slots__ = ("plan_us", "judge_us", "search_us")
    PLAN_US_FIELD_NUMBER: _ClassVar[int]
    JUDGE_US_FIELD_NUMBER: _ClassVar[int]
    SEARCH_US_FIELD_NUMBER: _ClassVar[int]
    plan_us: int
    judge_us: int
    search_us: int
    def __init__(self, plan_us: _Optional[int] = ..., judge_us: _Optional[int] = ..., search_us: _Optional[int] = ...) -> None: ...

class SearchReport(_message.Message):
    __slots__ = ("tails_scanned", "segments_scanned", "codes_scanned", "walked", "walked_masked", "walks_given_up")
    TAILS_SCANNED_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_SCANNED_FIELD_NUMBER: _ClassVar[int]
    CODES_SCANNED_FIELD_NUMBER: _ClassVar[int]
    WALKED_FIELD_NUMBER: _ClassVar[int]
    WALKED_MASKED_FIELD_NUMBER: _ClassVar[int]
    WALKS_GIVEN_UP_FIELD_NUMBER: _ClassVar[int]
    tails_scanned: int
    segments_scanned: int
    codes_scanned: int
    walked: int
    walked_masked: int
    walks_given_up: int
    def __init__(self, tails_scanned: _Optional[int] = ..., segments_scanned: _Optional[int] = ..., codes_scanned: _Optional[int] = ..., walked: _Optional[int] = ..., walked_masked: _Optional[int] = ..., walks_given_up: _Optional[int] = ...) -> None: ...

class TemporaryIndex(_message.Message):
    __slots__ = ("key", "index_type", "points", "bytes")
    KEY_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    key: str
    index_type: str
    points: int
    bytes: int
    def __init__(self, key: _Optional[str] = ..., index_type: _Optional[str] = ..., points: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...
