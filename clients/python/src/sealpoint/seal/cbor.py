"""Deterministic CBOR (RFC 8949 section 4.2.1) of the sealed part of a payload.

The bytes are fixed by docs/sealing-format-v1.md and may never change: integers and floats stay apart, floats take the
shortest of half, single and double that keeps the value, map keys are text in the order of their encodings, and
nothing is tagged or of indefinite length. The reader refuses whatever the writer would not have written.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Mapping

from .errors import CborError

# Levels below the outermost map.
DEPTH_MAX = 128
INT_MIN = -(2**63)
INT_MAX = 2**63 - 1


def encode(value: Any) -> bytes:
    """Writes one value. Raises CborError for anything that the format does not know."""
    out = bytearray()
    _write(out, value, 0)
    return bytes(out)


def decode(data: bytes | memoryview, *, padded: bool = False) -> Any:
    """Reads one value that fills `data`; with `padded`, zero bytes may follow it."""
    data = bytes(data)
    value, end = _read(data, 0, 0)
    rest = data[end:]
    if rest and (not padded or rest.count(0) != len(rest)):
        raise CborError("bytes follow the value")
    return value


def _head(out: bytearray, major: int, argument: int) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
    elif argument < 0x100:
        out += bytes((major << 5 | 24, argument))
    elif argument < 0x10000:
        out.append(major << 5 | 25)
        out += argument.to_bytes(2, "big")
    elif argument < 0x100000000:
        out.append(major << 5 | 26)
        out += argument.to_bytes(4, "big")
    else:
        out.append(major << 5 | 27)
        out += argument.to_bytes(8, "big")


def _text(value: str) -> bytes:
    try:
        raw = value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CborError("a text is not valid Unicode") from error
    out = bytearray()
    _head(out, 3, len(raw))
    out += raw
    return bytes(out)


def _float(value: float) -> bytes:
    if math.isnan(value):
        return b"\xf9\x7e\x00"
    for code, head in ((">e", b"\xf9"), (">f", b"\xfa")):
        try:
            raw = struct.pack(code, value)
        except OverflowError:
            continue
        if struct.unpack(code, raw)[0] == value:
            return head + raw
    return b"\xfb" + struct.pack(">d", value)


def _write(out: bytearray, value: Any, depth: int) -> None:
    if isinstance(value, str):
        out += _text(value)
    elif value is None:
        out.append(0xF6)
    elif value is True:
        out.append(0xF5)
    elif value is False:
        out.append(0xF4)
    elif isinstance(value, int):
        if not INT_MIN <= value <= INT_MAX:
            raise CborError("an integer is outside of 64 bits")
        if value >= 0:
            _head(out, 0, value)
        else:
            _head(out, 1, -1 - value)
    elif isinstance(value, float):
        out += _float(value)
    elif isinstance(value, (list, tuple)):
        _check_depth(depth)
        _head(out, 4, len(value))
        for item in value:
            _write(out, item, depth + 1)
    elif isinstance(value, Mapping):
        _check_depth(depth)
        entries = []
        for key, item in value.items():
            if not isinstance(key, str):
                raise CborError("a map's key is not a text")
            entries.append((_text(key), item))
        entries.sort(key=lambda entry: entry[0])
        _head(out, 5, len(entries))
        for key_bytes, item in entries:
            out += key_bytes
            _write(out, item, depth + 1)
    else:
        raise CborError(f"a value of type {type(value).__name__} has no place in a payload")


def _check_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise CborError(f"the payload is nested deeper than {DEPTH_MAX} levels")


_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}


def _read_head(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Returns major type, additional information, argument and the position after them."""
    if at >= len(data):
        raise CborError("the value is cut off")
    first = data[at]
    major, info = first >> 5, first & 31
    at += 1
    if info < 24:
        return major, info, info, at
    size = _ARGUMENT_BYTES.get(info)
    if size is None:
        raise CborError("indefinite lengths are not allowed")
    if at + size > len(data):
        raise CborError("the value is cut off")
    argument = int.from_bytes(data[at : at + size], "big")
    if major != 7 and argument < (24, 0x100, 0x10000, 0x100000000)[info - 24]:
        raise CborError("a length is not in its shortest form")
    return major, info, argument, at + size


def _read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    start = at
    major, info, argument, at = _read_head(data, at)
    if major == 0:
        if argument > INT_MAX:
            raise CborError("an integer is outside of 64 bits")
        return argument, at
    if major == 1:
        if argument > INT_MAX:
            raise CborError("an integer is outside of 64 bits")
        return -1 - argument, at
    if major == 3:
        return _read_text(data, at, argument)
    if major == 4:
        _check_depth(depth)
        # Every item takes a byte at least: a wild length is refused before anything is built.
        if argument > len(data) - at:
            raise CborError("the value is cut off")
        items = []
        for _ in range(argument):
            item, at = _read(data, at, depth + 1)
            items.append(item)
        return items, at
    if major == 5:
        _check_depth(depth)
        if argument * 2 > len(data) - at:
            raise CborError("the value is cut off")
        result: dict[str, Any] = {}
        previous = b""
        for _ in range(argument):
            key_start = at
            if data[at : at + 1] and data[at] >> 5 != 3:
                raise CborError("a map's key is not a text")
            _, _, length, at = _read_head(data, at)
            key, at = _read_text(data, at, length)
            encoded = data[key_start:at]
            if encoded <= previous:
                raise CborError("a map's keys are doubled or out of order")
            previous = encoded
            result[key], at = _read(data, at, depth + 1)
        return result, at
    if major == 7:
        if info == 20:
            return False, at
        if info == 21:
            return True, at
        if info == 22:
            return None, at
        code = {25: ">e", 26: ">f", 27: ">d"}.get(info)
        if code is None:
            raise CborError("a simple value is not allowed")
        raw = data[start + 1 : at]
        number = struct.unpack(code, raw)[0]
        if _float(number) != data[start:at]:
            raise CborError("a float is not in its shortest form")
        return number, at
    raise CborError("a byte string or a tag is not allowed")


def _read_text(data: bytes, at: int, length: int) -> tuple[str, int]:
    if length > len(data) - at:
        raise CborError("the value is cut off")
    try:
        return data[at : at + length].decode("utf-8"), at + length
    except UnicodeDecodeError as error:
        raise CborError("a text is not valid UTF-8") from error


def padme_length(length: int) -> int:
    """Padme bucket (arXiv 1806.03160): leaks O(log log L) bits of the length and grows it by 12 % at most."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    keep = exponent.bit_length()
    step_bits = exponent - keep
    mask = (1 << step_bits) - 1 if step_bits > 0 else 0
    return (length + mask) & ~mask
