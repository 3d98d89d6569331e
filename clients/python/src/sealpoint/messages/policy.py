"""The two messages of sealpoint.v1.Sealing/GetPolicy, read and written by hand so that no generated code is needed."""

from __future__ import annotations

from typing import Iterator

from ..seal import SealError
from .options import CollectionPin

GET_POLICY = "/sealpoint.v1.Sealing/GetPolicy"


def encode_policy_request(collection: str) -> bytes:
    name = collection.encode("utf-8")
    return b"\x0a" + _varint(len(name)) + name


def decode_policy_answer(data: bytes) -> CollectionPin:
    """Takes the sealing ids of an answer and nothing else: recipients and clear fields are pinned by the client."""
    own: bytes | None = None
    accepted: list[bytes] = []
    for number, value in _fields(data):
        if number != 1:
            continue
        for inner, inner_value in _fields(value):
            if inner == 2:
                own = inner_value
            elif inner == 3:
                accepted.append(inner_value)
    if own is None:
        raise SealError("the server's answer holds no sealing id")
    return CollectionPin(own, tuple(accepted), appends_envelopes=True)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message; others are passed over."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        wire = tag & 7
        if wire == 0:
            _, at = _read_varint(data, at)
            continue
        if wire in (1, 5):
            at += 8 if wire == 1 else 4
            continue
        if wire != 2:
            raise SealError("the server's policy answer is malformed")
        length, at = _read_varint(data, at)
        if at + length > len(data):
            raise SealError("the server's policy answer is malformed")
        yield tag >> 3, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
    raise SealError("the server's policy answer is malformed")
