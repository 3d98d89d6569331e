from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CollectionMemory(_message.Message):
    __slots__ = ("tail_bytes", "id_bytes", "payload_index_bytes", "mapped_bytes", "graph_bytes")
    TAIL_BYTES_FIELD_NUMBER: _ClassVar[int]
    ID_BYTES_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_INDEX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAPPED_BYTES_FIELD_NUMBER: _ClassVar[int]
    GRAPH_BYTES_FIELD_NUMBER: _ClassVar[int]
    tail_bytes: int
    id_bytes: int
    payload_index_bytes: int
    mapped_bytes: int
    graph_bytes: int
    def __init__(self, tail_bytes: _Optional[int] = ..., id_bytes: _Optional[int] = ..., payload_index_bytes: _Optional[int] = ..., mapped_bytes: _Optional[int] = ..., graph_bytes: _Optional[int] = ...) -> None: ...
