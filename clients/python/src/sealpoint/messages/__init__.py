"""Sealing and opening of protobuf messages by the names of their types, whoever generated them.

Nothing here imports generated code: the same functions work on `sealpoint.gen` and on `qdrant_client.grpc`.
"""

from .options import CollectionPin, Sealing
from .policy import decode_policy_answer, encode_policy_request
from .sealer import MessageSealer, SealedRequest
from .values import payload_to_dict, set_payload, value_to_python

__all__ = [
    "CollectionPin",
    "MessageSealer",
    "SealedRequest",
    "Sealing",
    "decode_policy_answer",
    "encode_policy_request",
    "payload_to_dict",
    "set_payload",
    "value_to_python",
]
