"""Makes test/filter/oracle-cases.jsonl: random payloads and filters with the answer of Qdrant's own Python client (its in-memory mode).

    python3 -m venv /tmp/oracle-venv && /tmp/oracle-venv/bin/pip install qdrant-client==1.20.0
    /tmp/oracle-venv/bin/python test/filter/oracle.py [seed [cases]] > test/filter/oracle-cases.jsonl

Each line: payload and filter as JSON (the filter as Qdrant's REST takes it), the same as stored bytes and as a filter program in hex (read by
src/native/addon/check/filter_check.cc), and the expected answer. The bytes are written here independently of our encoders. Left out are
cases in which the in-memory mode is known to differ from the server: polygons that cross themselves, and offsets of dates it cannot read.
"""

import json
import random
import struct
import sys
import uuid
from datetime import datetime

from qdrant_client.http import models
from qdrant_client.local import datetime_utils
from qdrant_client.local.payload_filters import check_filter

CASES = 300

TEXTS = ["x", "y", "z", "", "A", "2023-02-08T10:49:00Z", "2023-02-08", "2024-01-01 00:00:00+02:00", "2023-02-08T11:49:00.25+0100", "2023-02-08 10:49",
         "2023-02-30", "no date"]
INTEGERS = [0, 1, 2, 3, -1, 7, 2**53 + 1, 2**63 - 1, -(2**63)]
NUMBERS = [0.0, 1.0, 1.5, 2.0, -1.0, 2.5, 1e300]
KEYS = ["a", "b", "c", "d e"]
PATHS = ["a", "b", "c", '"d e"', "a.b", "a[]", "a[].b", "b[].c", "a.b[].c", "a[0]", "b.a", "c[].a", "a.a", "b[1].a"]


def varint(value):
    out = b""
    value &= 2**64 - 1
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def encode_map(value, number):
    return b"".join(field(number, field(1, k.encode()) + field(2, encode_value(v))) for k, v in value.items())


def encode_value(value):
    if value is None:
        return b"\x08\x00"
    if isinstance(value, bool):
        return bytes([0x28, int(value)])
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return b"\x11" + struct.pack("<d", value)
    if isinstance(value, str):
        return field(4, value.encode())
    if isinstance(value, dict):
        return field(6, encode_map(value, 1))
    return field(7, b"".join(field(1, encode_value(v)) for v in value))


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def micros(date):
    parsed = datetime_utils.parse(date)
    delta = parsed - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def bounds(spec, pack):
    flags = sum(bit for bit, name in ((1, "lt"), (2, "lte"), (4, "gt"), (8, "gte")) if name in spec)
    return bytes([flags]) + b"".join(pack(spec[name]) for name in ("lt", "lte", "gt", "gte") if name in spec)


def point(spec):
    return struct.pack("<dd", spec["lon"], spec["lat"])


def encode_condition(c):
    if "has_id" in c:
        ids = b"".join(b"\x00" + struct.pack("<Q", i) if isinstance(i, int) else b"\x01" + uuid.UUID(i).bytes for i in c["has_id"])
        return b"\x10" + struct.pack("<I", len(c["has_id"])) + ids
    if "nested" in c:
        return b"\x12" + text(c["nested"]["key"]) + encode_filter(c["nested"]["filter"])
    if "is_empty" in c:
        return b"\x0e" + text(c["is_empty"]["key"])
    if "is_null" in c:
        return b"\x0f" + text(c["is_null"]["key"])
    if "key" not in c:
        return b"\x13" + encode_filter(c)
    key = text(c["key"])
    if "match" in c:
        match = c["match"]
        if "value" in match:
            value = match["value"]
            if isinstance(value, bool):
                return b"\x03" + key + bytes([int(value)])
            return b"\x01" + key + text(value) if isinstance(value, str) else b"\x02" + key + struct.pack("<q", value)
        values = match.get("any", match.get("except"))
        kind = (4 if "any" in match else 6) + (0 if isinstance(values[0], str) else 1)
        body = b"".join(text(v) if isinstance(v, str) else struct.pack("<q", v) for v in values)
        return bytes([kind]) + key + struct.pack("<I", len(values)) + body
    if "values_count" in c:
        return b"\x0d" + key + bounds(c["values_count"], lambda v: struct.pack("<Q", v))
    if "range" in c:
        if any(isinstance(v, str) for v in c["range"].values()):
            return b"\x09" + key + bounds(c["range"], lambda v: struct.pack("<q", micros(v)))
        return b"\x08" + key + bounds(c["range"], lambda v: struct.pack("<d", v))
    if "geo_bounding_box" in c:
        return b"\x0a" + key + point(c["geo_bounding_box"]["top_left"]) + point(c["geo_bounding_box"]["bottom_right"])
    if "geo_radius" in c:
        return b"\x0b" + key + point(c["geo_radius"]["center"]) + struct.pack("<d", c["geo_radius"]["radius"])
    rings = [c["geo_polygon"]["exterior"]["points"]] + [ring["points"] for ring in c["geo_polygon"].get("interiors", [])]
    return b"\x0c" + key + struct.pack("<I", len(rings)) + b"".join(struct.pack("<I", len(r)) + b"".join(map(point, r)) for r in rings)


def encode_filter(f):
    def clause(conditions):
        return struct.pack("<I", len(conditions)) + b"".join(map(encode_condition, conditions))

    out = clause(f.get("must", [])) + clause(f.get("should", [])) + clause(f.get("must_not", []))
    if "min_should" not in f:
        return out + b"\x00"
    return out + b"\x01" + struct.pack("<I", f["min_should"]["min_count"]) + clause(f["min_should"]["conditions"])


def random_geo(rng):
    return {"lon": round(rng.uniform(-180, 180), 2), "lat": round(rng.uniform(-90, 90), 2)}


def random_value(rng, depth):
    kind = rng.randrange(12 if depth > 0 else 7)
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind == 2:
        return rng.choice(INTEGERS)
    if kind == 3:
        return rng.choice(NUMBERS)
    if kind in (4, 5):
        return rng.choice(TEXTS)
    if kind == 6:
        return random_geo(rng)
    if kind in (7, 8, 9):
        return [random_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {key: random_value(rng, depth - 1) for key in KEYS if rng.random() < 0.5}


def random_bounds(rng, pick):
    names = rng.sample(["lt", "lte", "gt", "gte"], rng.choice([1, 1, 2]))
    return {name: pick() for name in names}


def square(rng, around, half):
    west, east = max(around["lon"] - half, -180), min(around["lon"] + half, 180)
    south, north = max(around["lat"] - half, -90), min(around["lat"] + half, 90)
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {"points": [{"lon": lon, "lat": lat} for lon, lat in corners]}


def random_condition(rng, depth):
    key = rng.choice(PATHS)
    kind = rng.randrange(17 if depth > 0 else 14)
    if kind in (0, 1):
        return {"key": key, "match": {"value": rng.choice(TEXTS)}}
    if kind == 2:
        return {"key": key, "match": {"value": rng.choice(INTEGERS)}}
    if kind == 3:
        return {"key": key, "match": {"value": rng.random() < 0.5}}
    if kind in (4, 5):
        pool = rng.choice([TEXTS, INTEGERS])
        return {"key": key, "match": {"any" if kind == 4 else "except": rng.sample(pool, rng.randrange(1, 4))}}
    if kind == 6:
        return {"key": key, "range": random_bounds(rng, lambda: float(rng.choice(NUMBERS + [2, 3])))}
    if kind == 7:
        dates = ["2023-02-08T10:49:00Z", "2023-02-08T10:49:00.25Z", "2023-12-31T22:00:00Z", "2023-02-08T00:00:00Z"]
        return {"key": key, "range": random_bounds(rng, lambda: rng.choice(dates))}
    if kind == 8:
        return {"key": key, "values_count": random_bounds(rng, lambda: rng.randrange(4))}
    if kind == 9:
        return rng.choice([{"is_empty": {"key": key}}, {"is_null": {"key": key}}])
    if kind == 10:
        a, b = random_geo(rng), random_geo(rng)
        top, bottom = max(a["lat"], b["lat"]), min(a["lat"], b["lat"])
        return {"key": key, "geo_bounding_box": {"top_left": {"lon": a["lon"], "lat": top}, "bottom_right": {"lon": b["lon"], "lat": bottom}}}
    if kind == 11:
        return {"key": key, "geo_radius": {"center": random_geo(rng), "radius": float(rng.randrange(1, 15_000_000))}}
    if kind == 12:
        around = random_geo(rng)
        polygon = {"exterior": square(rng, around, rng.uniform(20, 170))}
        if rng.random() < 0.5:
            polygon["interiors"] = [square(rng, around, rng.uniform(1, 20))]
        return {"key": key, "geo_polygon": polygon}
    if kind == 13:
        return {"has_id": rng.sample([1, 2, 3, "550e8400-e29b-41d4-a716-446655440000"], rng.randrange(1, 3))}
    if kind == 14:
        return random_filter(rng, depth - 1)
    return {"nested": {"key": rng.choice(["a", "b", "c", "a[]", "a.b", "a[].b"]), "filter": random_filter(rng, depth - 1)}}


def random_filter(rng, depth):
    out = {}
    for name, chance, most in (("must", 0.6, 2), ("should", 0.4, 3), ("must_not", 0.3, 2)):
        if rng.random() < chance:
            out[name] = [random_condition(rng, depth) for _ in range(rng.randrange(1, most + 1))]
    if rng.random() < 0.2:
        conditions = [random_condition(rng, depth) for _ in range(rng.randrange(1, 4))]
        out["min_should"] = {"conditions": conditions, "min_count": rng.randrange(1, 3)}
    return out or {"must": [random_condition(rng, depth)]}


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    total = int(sys.argv[2]) if len(sys.argv) > 2 else CASES
    rng = random.Random(seed)
    counts = {True: 0, False: 0}
    while sum(counts.values()) < total:
        payload = {key: random_value(rng, 3) for key in KEYS if rng.random() < 0.8}
        spec = random_filter(rng, 2)
        # The server takes the id 1 for these cases; ids and vectors never match inside nested filters.
        expected = check_filter(models.Filter(**spec), payload, 1, {})
        if counts[expected] >= (total + 1) // 2:
            continue
        counts[expected] += 1
        line = {"payload": payload, "filter": spec, "expected": expected, "payload_hex": encode_map(payload, 2).hex(),
                "program_hex": (b"\x01" + encode_filter(spec)).hex()}
        print(json.dumps(line))


if __name__ == "__main__":
    main()
