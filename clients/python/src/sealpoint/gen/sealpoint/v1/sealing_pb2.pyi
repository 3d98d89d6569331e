from sealpoint.gen.sealpoint.policy.v1 import policy_pb2 as _policy_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SetPolicyRequest(_message.Message):
    __slots__ = ("collection_name", "policy")
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    policy: _policy_pb2.SealingPolicy
    def __init__(self, collection_name: _Optional[str] = ..., policy: _Optional[_Union[_policy_pb2.SealingPolicy, _Mapping]] = ...) -> None: ...

class SetPolicyResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: _policy_pb2.SealingState
    def __init__(self, state: _Optional[_Union[_policy_pb2.SealingState, _Mapping]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("collection_name",)
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    def __init__(self, collection_name: _Optional[str] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: _policy_pb2.SealingState
    def __init__(self, state: _Optional[_Union[_policy_pb2.SealingState, _Mapping]] = ...) -> None: ...

class CountPlainRequest(_message.Message):
    __slots__ = ("collection_name",)
    COLLECTION_NAME_FIELD_NUMBER: _ClassVar[int]
    collection_name: str
    def __init__(self, collection_name: _Optional[str] = ...) -> None: ...

class CountPlainResponse(_message.Message):
    __slots__ = ("plain", "total")
    PLAIN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    plain: int
    total: int
    def __init__(self, plain: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...
