"""Every language's sealed payloads open here, and RFC 9180's own vectors hold."""

import hashlib

import pytest
from vectors import VECTORS, load, map_from_proto_json, point_id_of

from sealpoint.seal import SEALED_KEY, Envelope, Opener, OpenError, PrivateKey, PublicKey, cbor, hpke

FILES = sorted(VECTORS.glob("sealing-v1-*.json"))
CASES = [(path.stem, file, case) for path in FILES for file in [load(path)] for case in file["cases"]]


def test_all_three_languages_are_there():
    assert {load(path)["producer"] for path in FILES} >= {"typescript", "python", "go"}


@pytest.mark.parametrize("file", [load(path) for path in FILES], ids=[path.stem for path in FILES])
def test_keys_belong_together(file):
    key = PrivateKey.parse(file["private_key"])
    assert PrivateKey.parse(file["private_key_pem"]).public_key == key.public_key == PublicKey.parse(file["public_key"])


@pytest.mark.parametrize(("name", "file", "case"), CASES, ids=[f"{name}-{case['name']}" for name, _, case in CASES])
def test_opens(name, file, case):
    sealing_id, point_id = bytes.fromhex(file["sealing_id"]), point_id_of(case["id"])
    opener = Opener(file["private_key"])
    stored = {**map_from_proto_json(case["clear"]), SEALED_KEY: case["envelopes"]}
    opened = opener.open_payload(stored, point_id=point_id, accepted_sealing_ids=[sealing_id])
    # Compared as CBOR: NaN equals itself there, and 1 differs from 1.0.
    assert cbor.encode(opened) == cbor.encode(map_from_proto_json(case["payload"]))
    with pytest.raises(OpenError):
        opener.open_payload(stored, point_id=99999, accepted_sealing_ids=[sealing_id])
    for envelope, binary, plaintext in zip(case["envelopes"], case["binary"], case["plaintext"], strict=True):
        assert Envelope.from_json_object(envelope).to_bytes().hex() == binary
        assert Envelope.from_bytes(bytes.fromhex(binary)).to_json_object() == envelope
        again = cbor.encode(cbor.decode(bytes.fromhex(plaintext), padded=case["padding"]))
        if case["padding"]:
            again = again.ljust(cbor.padme_length(len(again)), b"\0")
        assert again.hex() == plaintext


def test_rfc9180():
    vectors = [
        item
        for item in load(VECTORS / "rfc9180.json")
        if (item["mode"], item["kem_id"], item["kdf_id"], item["aead_id"]) == (0, 0x10, 1, 2)
    ]
    assert vectors
    for vector in vectors:
        key = PrivateKey.parse(vector["skRm"])
        assert key.public_key == PublicKey.parse(vector["pkRm"])
        context = hpke.setup_recipient(PublicKey.parse(vector["enc"]), key, bytes.fromhex(vector["info"]))
        # 1,000 exports of lengths 0 to 999 under contexts drawn from SHAKE128 of nothing (test/vectors/README.md).
        source = hashlib.shake_128().digest(1000 * 256)
        at, sink = 0, hashlib.shake_128()
        for length in range(1000):
            size = source[at]
            exporter_context, at = source[at + 1 : at + 1 + size], at + 1 + size
            sink.update(context.export(exporter_context, length))
        assert sink.hexdigest(16) == vector["exports_accumulated"]
