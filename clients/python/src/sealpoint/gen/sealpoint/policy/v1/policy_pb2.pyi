from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SealingMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEALING_MODE_UNSPECIFIED: _ClassVar[SealingMode]
    SEALING_MODE_OFF: _ClassVar[SealingMode]
    SEALING_MODE_OPTIONAL: _ClassVar[SealingMode]
    SEALING_MODE_REQUIRED: _ClassVar[SealingMode]

class SealingAlgorithm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEALING_ALGORITHM_UNSPECIFIED: _ClassVar[SealingAlgorithm]
    SEALING_ALGORITHM_HPKE_P256_SHA256_A256GCM: _ClassVar[SealingAlgorithm]
SEALING_MODE_UNSPECIFIED: SealingMode
SEALING_MODE_OFF: SealingMode
SEALING_MODE_OPTIONAL: SealingMode
SEALING_MODE_REQUIRED: SealingMode
SEALING_ALGORITHM_UNSPECIFIED: SealingAlgorithm
SEALING_ALGORITHM_HPKE_P256_SHA256_A256GCM: SealingAlgorithm

class SealingPolicy(_message.Message):
    __slots__ = ("mode", "recipients", "algorithm", "clear_fields", "padding")
    MODE_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELDS_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    mode: SealingMode
    recipients: _containers.RepeatedScalarFieldContainer[str]
    algorithm: SealingAlgorithm
    clear_fields: _containers.RepeatedScalarFieldContainer[str]
    padding: bool
    def __init__(self, mode: _Optional[_Union[SealingMode, str]] = ..., recipients: _Optional[_Iterable[str]] = ..., algorithm: _Optional[_Union[SealingAlgorithm, str]] = ..., clear_fields: _Optional[_Iterable[str]] = ..., padding: _Optional[bool] = ...) -> None: ...

class SealingState(_message.Message):
    __slots__ = ("policy", "sealing_id", "accepted_sealing_ids", "epoch")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SEALING_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_SEALING_IDS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    policy: SealingPolicy
    sealing_id: bytes
    accepted_sealing_ids: _containers.RepeatedScalarFieldContainer[bytes]
    epoch: int
    def __init__(self, policy: _Optional[_Union[SealingPolicy, _Mapping]] = ..., sealing_id: _Optional[bytes] = ..., accepted_sealing_ids: _Optional[_Iterable[bytes]] = ..., epoch: _Optional[int] = ...) -> None: ...
