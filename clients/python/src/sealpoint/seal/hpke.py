"""RFC 9180 base mode, DHKEM(P-256, HKDF-SHA256) / HKDF-SHA256 / AES-256-GCM, of which only the exporter is used."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric import ec

from .keys import PrivateKey, PublicKey

# RFC 9180 section 7: identifiers of the KEM, the KDF and the AEAD.
_KEM_SUITE = b"KEM" + (0x0010).to_bytes(2, "big")
_SUITE = b"HPKE" + (0x0010).to_bytes(2, "big") + (0x0001).to_bytes(2, "big") + (0x0002).to_bytes(2, "big")
_MODE_BASE = b"\x00"


def _extract(salt: bytes, suite: bytes, label: bytes, ikm: bytes) -> bytes:
    """LabeledExtract, RFC 9180 section 4."""
    return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, hashlib.sha256)


def _expand(prk: bytes, suite: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand, RFC 9180 section 4, with HKDF-Expand of RFC 5869 section 2.3."""
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    out = block = b""
    counter = 1
    while len(out) < length:
        block = hmac.digest(prk, block + labeled + bytes((counter,)), hashlib.sha256)
        out += block
        counter += 1
    return out[:length]


class ExporterContext:
    """The exporter of one HPKE context (RFC 9180 section 5.3)."""

    __slots__ = ("_secret",)

    def __init__(self, dh: bytes, enc: bytes, recipient_point: bytes, info: bytes) -> None:
        # ExtractAndExpand, section 4.1.
        prk = _extract(b"", _KEM_SUITE, b"eae_prk", dh)
        shared = _expand(prk, _KEM_SUITE, b"shared_secret", enc + recipient_point, 32)
        # KeySchedule, section 5.1, mode_base: psk and psk_id are empty.
        context = _MODE_BASE + _extract(b"", _SUITE, b"psk_id_hash", b"") + _extract(b"", _SUITE, b"info_hash", info)
        secret = _extract(shared, _SUITE, b"secret", b"")
        self._secret = _expand(secret, _SUITE, b"exp", context, 32)

    def export(self, exporter_context: bytes, length: int) -> bytes:
        return _expand(self._secret, _SUITE, b"sec", exporter_context, length)


def setup_sender(
    recipient: PublicKey, info: bytes, *, ephemeral: PrivateKey | None = None
) -> tuple[bytes, ExporterContext]:
    """Returns `enc` and the context. `ephemeral` is for test vectors only: reusing one breaks the seal."""
    ephemeral = ephemeral or PrivateKey.generate()
    dh = ephemeral.cryptography_key.exchange(ec.ECDH(), recipient.cryptography_key)
    enc = ephemeral.public_key.point
    return enc, ExporterContext(dh, enc, recipient.point, info)


def setup_recipient(enc: PublicKey, private_key: PrivateKey, info: bytes) -> ExporterContext:
    dh = private_key.cryptography_key.exchange(ec.ECDH(), enc.cryptography_key)
    return ExporterContext(dh, enc.point, private_key.public_key.point, info)
