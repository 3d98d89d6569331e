"""Reads the test vectors that the languages share."""

import json
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[3] / "test" / "vectors"


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def spki_of(public_key):
    return bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + public_key.point


def point_id_of(value):
    return int(value["num"]) if "num" in value else value["uuid"]


def from_proto_json(value):
    """JSON of protobuf's qdrant.Value."""
    ((kind, inner),) = value.items()
    if kind == "integerValue":
        return int(inner)
    if kind == "doubleValue":
        # Text where JSON's numbers do not reach: NaN, infinities, -0.
        return float(inner)
    if kind == "listValue":
        return [from_proto_json(item) for item in (inner or {}).get("values", [])]
    if kind == "structValue":
        return map_from_proto_json((inner or {}).get("fields", {}))
    return inner


def map_from_proto_json(fields):
    return {key: from_proto_json(value) for key, value in fields.items()}
