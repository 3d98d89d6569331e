"""Python values and qdrant.Value. Integers stay integers and floats stay floats, in both directions."""

from __future__ import annotations

from typing import Any, Mapping

from ..seal.cbor import DEPTH_MAX, INT_MAX, INT_MIN
from ..seal.errors import SealError


def payload_to_dict(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A `map<string, qdrant.Value>` as a dict."""
    return {key: value_to_python(payload[key], 1) for key in payload}


def value_to_python(value: Any, depth: int = 0) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if depth > DEPTH_MAX and kind in ("struct_value", "list_value"):
        raise SealError(f"the payload is nested deeper than {DEPTH_MAX} levels")
    if kind == "struct_value":
        fields = value.struct_value.fields
        return {key: value_to_python(fields[key], depth + 1) for key in fields}
    if kind == "list_value":
        return [value_to_python(item, depth + 1) for item in value.list_value.values]
    return getattr(value, kind)


def set_payload(payload: Any, values: Mapping[str, Any]) -> None:
    """Replaces the entries of a `map<string, qdrant.Value>`."""
    payload.clear()
    for key, value in values.items():
        if not isinstance(key, str):
            raise TypeError(f"payload: a key is a text, not {type(key).__name__}")
        _set_value(payload[key], value, 1)


def _set_value(target: Any, value: Any, depth: int) -> None:
    if depth > DEPTH_MAX and isinstance(value, (Mapping, list, tuple)):
        raise ValueError(f"the payload is nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, str):
        target.string_value = value
    elif value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        if not INT_MIN <= value <= INT_MAX:
            raise ValueError("payload: an integer is outside of 64 bits")
        target.integer_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        fields = target.struct_value.fields
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"payload: a key is a text, not {type(key).__name__}")
            _set_value(fields[key], item, depth + 1)
    elif isinstance(value, (list, tuple)):
        target.list_value.SetInParent()
        for item in value:
            _set_value(target.list_value.values.add(), item, depth + 1)
    else:
        raise TypeError(f"payload: a value of type {type(value).__name__} has no place in a payload")


def point_id_of(message: Any) -> int | str:
    """A qdrant.PointId as a number or a UUID's text."""
    kind = message.WhichOneof("point_id_options")
    if kind is None:
        raise SealError("a point has no id, so that nothing can be sealed to it or opened from it")
    return getattr(message, kind)
