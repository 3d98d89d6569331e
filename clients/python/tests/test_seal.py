"""Sealing without a network."""

import base64
import math
import random
import time
import uuid

import pytest
from vectors import spki_of

from sealpoint.seal import (
    SEALED_KEY,
    Batch,
    CborError,
    Envelope,
    EnvelopeError,
    KeyFormatError,
    Opener,
    OpenError,
    PrivateKey,
    PublicKey,
    SealContext,
    SealError,
    cbor,
    new_sealing_id,
    open_payload,
    parse_envelopes,
    seal_payload,
)


@pytest.mark.parametrize(
    ("value", "hexed"),
    [
        (0, "00"), (23, "17"), (24, "1818"), (256, "190100"), (65536, "1a00010000"), (2**32, "1b0000000100000000"), (-1, "20"), (-25, "3818"),
        (-(2**63), "3b7fffffffffffffff"), (2**63 - 1, "1b7fffffffffffffff"), (1.0, "f93c00"), (-0.0, "f98000"), (1.1, "fb3ff199999999999a"),
        (100000.0, "fa47c35000"), (65504.0, "f97bff"), (65505.0, "fa477fe100"), (2.0**-24, "f90001"), (2.0**-25, "fa33000000"), (math.nan, "f97e00"),
        (math.inf, "f97c00"), (-math.inf, "f9fc00"), (1e300, "fb7e37e43c8800759c"), (None, "f6"), (True, "f5"), (False, "f4"), ("é", "62c3a9"),
        ([], "80"), ({}, "a0"), ({"aa": 1, "b": 2, "c": 1000}, "a361620261631903e862616101"),
    ],
)  # fmt: skip
def test_cbor_bytes(value, hexed):
    assert cbor.encode(value).hex() == hexed
    again = cbor.decode(bytes.fromhex(hexed))
    assert repr(again) == repr(
        value if not isinstance(value, dict) else dict(sorted(value.items(), key=lambda e: (len(e[0]), e[0])))
    )


@pytest.mark.parametrize(
    "hexed",
    [
        "1800", "780161", "9fff", "7f6161ff", "c000", "4100", "f7", "fa3f800000", "fb3ff0000000000000", "f97e01", "a2616101616102", "a2616201616102",
        "a262616101616202", "a10101", "6261", "8201", "9bffffffffffffffff", "bb7fffffffffffffff", "61ff", "1b8000000000000000", "0001", "", "1c",
    ],
)  # fmt: skip
def test_cbor_refuses_what_is_not_deterministic(hexed):
    with pytest.raises(CborError):
        cbor.decode(bytes.fromhex(hexed), padded=True)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\ud800", {1: 2}, b"bytes", object()])
def test_cbor_refuses_values_without_a_place(value):
    with pytest.raises(CborError):
        cbor.encode(value)


def test_cbor_depth():
    value = {}
    for _ in range(128):
        value = [value]
    raw = cbor.encode(value)
    assert cbor.decode(raw) == value
    with pytest.raises(CborError):
        cbor.encode([value])
    with pytest.raises(CborError):
        cbor.decode(b"\x81" + raw)
    with pytest.raises(CborError):
        cbor.decode(b"\x81" * 1_000_000)


@pytest.mark.parametrize(
    ("length", "padded"), [(1, 1), (2, 2), (9, 10), (100, 104), (1000, 1024), (1025, 1088), (1_000_000, 1_015_808)]
)
def test_padme(length, padded):
    assert cbor.padme_length(length) == padded


def random_value(rng, depth=0):
    kind = rng.randrange(8)
    if kind < 2:
        return (None, True, False)[rng.randrange(3)]
    if kind == 2:
        return rng.randrange(-(2**63), 2**63) >> rng.randrange(64)
    if kind == 3:
        return math.ldexp(rng.randrange(-(2**53), 2**53), rng.randrange(-100, 100))
    if kind < 6 or depth > 4:
        return "".join(rng.choice("aé中😀\0") for _ in range(rng.randrange(20)))
    if kind == 6:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {"k" * rng.randrange(30): random_value(rng, depth + 1) for _ in range(rng.randrange(5))}


def test_random_payloads_come_back():
    seed = time.time_ns()
    print("seed", seed)
    rng = random.Random(seed)
    key, sealing_id = PrivateKey.generate(), new_sealing_id()
    context, opener = SealContext(key), Opener(key)
    for _ in range(300):
        payload = {f"f{i}": random_value(rng) for i in range(rng.randrange(6))} | {"clear": 1}
        point_id = rng.choice([rng.randrange(2**64), str(uuid.UUID(int=rng.getrandbits(128)))])
        sealed = seal_payload(
            payload, context=context, sealing_id=sealing_id, point_id=point_id, padding=True, clear_fields=["clear"]
        )
        assert set(sealed) == {"clear", SEALED_KEY}
        opened = opener.open_payload(sealed, point_id=point_id, accepted_sealing_ids=[sealing_id])
        assert cbor.encode(opened) == cbor.encode(payload)


def test_opening_fails_with_one_text():
    key, other, sealing_id, foreign = PrivateKey.generate(), PrivateKey.generate(), new_sealing_id(), new_sealing_id()
    envelope = SealContext(key).seal({"secret": "words"}, sealing_id=sealing_id, point_id=7)

    def attempt(opener=None, point_id=7, accepted=(sealing_id,), **changes):
        changed = Envelope(**{**envelope.__dict__, **changes})
        return (opener or Opener(key)).open(changed, point_id=point_id, accepted_sealing_ids=accepted)

    def flip(data):
        return bytes([data[0] ^ 1]) + data[1:]

    assert attempt(accepted=[foreign, sealing_id]) == {"secret": "words"}
    tries = [
        {"opener": Opener(other)},
        {"opener": Opener(other), "kid": other.public_key.kid},
        {"point_id": 8},
        {"point_id": "550e8400-e29b-41d4-a716-446655440000"},
        {"accepted": [foreign]},
        {"accepted": [foreign], "sealing_id": foreign},
        {"accepted": []},
        {"ciphertext": flip(envelope.ciphertext)},
        {"tag": flip(envelope.tag)},
        {"nonce": flip(envelope.nonce)},
        {"enc": envelope.enc[:-1] + bytes([envelope.enc[-1] ^ 1])},
        {"enc": other.public_key.point},
    ]
    for one in tries:
        with pytest.raises(OpenError) as caught:
            attempt(**one)
        assert str(caught.value) == "cannot open the seal"


def test_ephemeral_keys_per_batch_or_point():
    key, sealing_id = PrivateKey.generate(), new_sealing_id()
    for fresh in (False, True):
        batch = Batch(sealing_id=sealing_id, public_key=key, fresh_ephemeral=fresh)
        one, two = batch.seal({}, point_id=1), batch.seal({}, point_id=2)
        assert (one.enc == two.enc) is not fresh
        assert one.nonce != two.nonce


def test_envelopes_merge_in_order():
    key, sealing_id = PrivateKey.generate(), new_sealing_id()
    batch = Batch(sealing_id=sealing_id, public_key=key)
    payload = {
        "z": 0,
        "w": "clear",
        SEALED_KEY: [
            batch.seal({"x": 1, "y": 1}, point_id=1).to_json_object(),
            batch.seal({"y": 2, "z": 2}, point_id=1).to_json_object(),
        ],
    }
    opened = open_payload(payload, private_key=key, point_id=1, accepted_sealing_ids=[sealing_id])
    assert opened == {"x": 1, "y": 2, "z": 2, "w": "clear"}


def test_reserved_key_and_recipient():
    key, sealing_id = PrivateKey.generate(), new_sealing_id()
    with pytest.raises(SealError):
        seal_payload({SEALED_KEY: "x"}, public_key=key, sealing_id=sealing_id, point_id=1)
    with pytest.raises(SealError):
        seal_payload({}, public_key=key, sealing_id=sealing_id, point_id=1, clear_fields=[SEALED_KEY])
    with pytest.raises(SealError):
        seal_payload({}, sealing_id=sealing_id, point_id=1)
    with pytest.raises(EnvelopeError):
        seal_payload({}, public_key=key, sealing_id=b"short", point_id=1)
    for bad in (-1, 2**64, True, "no uuid", None):
        with pytest.raises(EnvelopeError):
            seal_payload({}, public_key=key, sealing_id=sealing_id, point_id=bad)


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1}, {"version": 2}, {"version": 1.0}, {"version": True}, {"algorithm": "HPKE"}, {"tag": "AAAA"}, {"tag": 1}, {"encrypted_data": ""},
        {"kid": "AAAAAAAAAAB"}, {"kid": "++++++++++8"}, {"nonce": None}, {"nonce": "AAAAAAAAAAAAAAAA="}, {"nonce": "AAAAAAAAAAAAAAAA\n"},
    ],
)  # fmt: skip
def test_envelope_form_is_strict(change):
    envelope = SealContext(PrivateKey.generate()).seal({"a": 1}, sealing_id=new_sealing_id(), point_id=1)
    assert Envelope.from_json_object(envelope.to_json_object()) == envelope
    assert Envelope.from_bytes(envelope.to_bytes()) == envelope
    with pytest.raises(EnvelopeError):
        Envelope.from_json_object({**envelope.to_json_object(), **change})
    for count in (0, 9):
        with pytest.raises(EnvelopeError):
            parse_envelopes([envelope.to_json_object()] * count)
    with pytest.raises(EnvelopeError):
        Envelope.from_json_object({k: v for k, v in envelope.to_json_object().items() if k != "tag"})


def test_key_formats():
    key = PrivateKey.generate()
    public = key.public_key
    point, spki = public.point, spki_of(public)
    short = bytes.fromhex(public.to_hex(compressed=True))
    short_spki = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + short
    texts = [public.to_pem(), f"\n{public.to_pem()} "]
    for raw in (point, short, spki, short_spki):
        url = base64.urlsafe_b64encode(raw).decode()
        texts += [raw.hex(), "0x" + raw.hex().upper(), base64.b64encode(raw).decode(), url, url.rstrip("=")]
    for text in texts:
        parsed = PublicKey.parse(text)
        assert parsed == public and parsed.kid == public.kid
    off = point[:-1] + bytes([point[-1] ^ 1])
    bad = [
        "",
        " ",
        "hello",
        point[1:33].hex(),
        off.hex(),
        "0x" + point[:64].hex(),
        "a" * 1025,
        "00",
        "04" + "00" * 64,
        point.hex() + "zz",
    ]
    bad += [
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        public.to_pem().replace("PUBLIC", "PRIVATE"),
    ]
    for text in bad:
        with pytest.raises(KeyFormatError) as caught:
            PublicKey.parse(text)
        assert len(text) < 20 or text[:20] not in str(caught.value)
    assert PrivateKey.parse(key.to_pem()).public_key == public
    for text in ["", "00" * 32, "ff" * 32, "11" * 31, public.to_pem(), "nonsense"]:
        with pytest.raises(KeyFormatError):
            PrivateKey.parse(text)
    assert key.cryptography_key.private_numbers().private_value.to_bytes(32, "big").hex() not in repr(key)


def test_another_hpke_implementation_agrees():
    pyhpke = pytest.importorskip("pyhpke", reason="pyhpke is not installed: no second implementation to compare with")
    suite = pyhpke.CipherSuite.new(
        pyhpke.KEMId.DHKEM_P256_HKDF_SHA256, pyhpke.KDFId.HKDF_SHA256, pyhpke.AEADId.AES256_GCM
    )
    key = PrivateKey.generate()
    from sealpoint.seal import hpke

    enc, sender = hpke.setup_sender(key.public_key, b"sealpoint/v1")
    theirs = suite.create_recipient_context(
        enc, pyhpke.KEMKey.from_pyca_cryptography_key(key.cryptography_key), info=b"sealpoint/v1"
    )
    assert theirs.export(b"context", 32) == sender.export(b"context", 32)
