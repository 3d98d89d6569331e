"""P-256 keys in every format of docs/sealing-format-v1.md, section Keys.

Errors say what is wrong with a key's form and never repeat the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from functools import lru_cache
from typing import Union

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from .errors import KeyFormatError

TEXT_LENGTH_MAX = 1024
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# SubjectPublicKeyInfo (RFC 5480) of a P-256 key up to its point; 66 bytes follow 0x42 (uncompressed), 34 follow 0x22.
_SPKI_UNCOMPRESSED = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_SPKI_COMPRESSED = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s*([A-Za-z0-9+/=\s]+?)\s*-----END \1-----\Z")


class PublicKey:
    """A recipient. Build it with `PublicKey.parse`."""

    __slots__ = ("point", "kid", "_key")

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key
        #: The uncompressed point, 65 bytes.
        self.point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        #: First 8 bytes of SHA-256 over the uncompressed SubjectPublicKeyInfo.
        self.kid = hashlib.sha256(_SPKI_UNCOMPRESSED + self.point).digest()[:8]

    @classmethod
    def parse(cls, key: "PublicKeyLike") -> "PublicKey":
        """Reads PEM (SPKI), hex, 0x-hex, base64 or base64url text, or the bytes of an SPKI or a point."""
        if isinstance(key, PublicKey):
            return key
        if isinstance(key, PrivateKey):
            return key.public_key
        if isinstance(key, str):
            return _parse_public_text(key)
        if isinstance(key, (bytes, bytearray, memoryview)):
            return cls._from_bytes(bytes(key))
        raise KeyFormatError(f"a public key is a text or bytes, not {type(key).__name__}")

    @classmethod
    def _from_bytes(cls, raw: bytes) -> "PublicKey":
        if raw.startswith(_SPKI_UNCOMPRESSED) and len(raw) == 91:
            raw = raw[-65:]
        elif raw.startswith(_SPKI_COMPRESSED) and len(raw) == 59:
            raw = raw[-33:]
        if len(raw) == 32:
            raise KeyFormatError("public key: X-only keys are refused, send the compressed or uncompressed point")
        if not (len(raw) == 65 and raw[0] == 4) and not (len(raw) == 33 and raw[0] in (2, 3)):
            raise KeyFormatError("public key: neither a P-256 SPKI nor a compressed (33) or uncompressed (65) point")
        try:
            # Checks that the point is on the curve; infinity has no such encoding.
            return cls(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw))
        except ValueError as error:
            raise KeyFormatError("public key: the point is not on the curve P-256") from error

    @property
    def cryptography_key(self) -> ec.EllipticCurvePublicKey:
        return self._key

    def to_pem(self) -> str:
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

    def to_hex(self, *, compressed: bool = False) -> str:
        form = PublicFormat.CompressedPoint if compressed else PublicFormat.UncompressedPoint
        return self._key.public_bytes(Encoding.X962, form).hex()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.point == self.point

    def __hash__(self) -> int:
        return hash(self.point)

    def __repr__(self) -> str:
        return f"PublicKey(kid={self.kid.hex()})"


class PrivateKey:
    """The key that opens. Build it with `PrivateKey.parse` or `PrivateKey.generate`."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_key = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> "PrivateKey":
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def parse(cls, key: "PrivateKeyLike") -> "PrivateKey":
        """Reads PEM (PKCS#8 or SEC1), hex, 0x-hex, base64 or base64url of the scalar, or its 32 bytes."""
        if isinstance(key, PrivateKey):
            return key
        if isinstance(key, (bytes, bytearray, memoryview)):
            raw = bytes(key)
            if raw.startswith(b"-----BEGIN"):
                return cls._from_pem(raw)
            return cls._from_scalar(raw)
        if not isinstance(key, str):
            raise KeyFormatError(f"a private key is a text or bytes, not {type(key).__name__}")
        text = _checked_text(key, "private key")
        if text.startswith("-----BEGIN"):
            return cls._from_pem(text.encode("ascii", "replace"))
        return cls._from_scalar(_text_bytes(text, (32,), "private key"))

    @classmethod
    def _from_pem(cls, pem: bytes) -> "PrivateKey":
        if len(pem) > TEXT_LENGTH_MAX:
            raise KeyFormatError(f"private key: longer than {TEXT_LENGTH_MAX} characters")
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The cause is dropped on purpose: parsers may quote what they read.
            raise KeyFormatError("private key: not an unencrypted PKCS#8 or SEC1 PEM") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise KeyFormatError("private key: not a key of the curve P-256")
        return cls(key)

    @classmethod
    def _from_scalar(cls, raw: bytes) -> "PrivateKey":
        if len(raw) != 32:
            raise KeyFormatError("private key: the scalar has 32 bytes")
        scalar = int.from_bytes(raw, "big")
        if not 0 < scalar < _ORDER:
            raise KeyFormatError("private key: the scalar is outside of the group's order")
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    @property
    def cryptography_key(self) -> ec.EllipticCurvePrivateKey:
        return self._key

    def to_pem(self) -> str:
        """PKCS#8, unencrypted: keep it where only its owner reads."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")

    def __repr__(self) -> str:
        return f"PrivateKey(kid={self.public_key.kid.hex()})"


PublicKeyLike = Union[PublicKey, PrivateKey, str, bytes]
PrivateKeyLike = Union[PrivateKey, str, bytes]


def new_sealing_id() -> bytes:
    """16 random bytes, for stores that make none of their own (a plain Qdrant)."""
    return secrets.token_bytes(16)


def _checked_text(text: str, what: str) -> str:
    if len(text) > TEXT_LENGTH_MAX:
        raise KeyFormatError(f"{what}: longer than {TEXT_LENGTH_MAX} characters")
    text = text.strip()
    if not text:
        raise KeyFormatError(f"{what}: empty")
    return text


@lru_cache(maxsize=1024)
def _parse_public_text(key: str) -> PublicKey:
    text = _checked_text(key, "public key")
    if text.startswith("-----BEGIN"):
        match = _PEM.match(text)
        if match is None:
            raise KeyFormatError("public key: the PEM is malformed")
        if match.group(1) != "PUBLIC KEY":
            raise KeyFormatError("public key: the PEM does not hold a PUBLIC KEY (SPKI)")
        try:
            raw = base64.b64decode("".join(match.group(2).split()), validate=True)
        except binascii.Error:
            raise KeyFormatError("public key: the PEM is malformed") from None
        if not raw.startswith((_SPKI_UNCOMPRESSED, _SPKI_COMPRESSED)):
            raise KeyFormatError("public key: the PEM does not hold a key of the curve P-256")
        return PublicKey._from_bytes(raw)
    return PublicKey._from_bytes(_text_bytes(text, (32, 33, 59, 65, 91), "public key"))


def _text_bytes(text: str, sizes: tuple[int, ...], what: str) -> bytes:
    """Hex or base64 to bytes. Hex is told from base64 by its length, so that no text has two readings."""
    hexed = text[2:] if text[:2] in ("0x", "0X") else text
    if len(hexed) % 2 == 0 and len(hexed) // 2 in sizes and _HEX.match(hexed):
        return bytes.fromhex(hexed)
    if hexed is not text:
        raise KeyFormatError(f"{what}: the hex has a wrong length or a wrong digit")
    body = text.rstrip("=")
    if len(text) - len(body) > 2 or (len(text) != len(body) and len(text) % 4):
        raise KeyFormatError(f"{what}: neither PEM, hex nor base64")
    if re.search(r"[+/]", body) and re.search(r"[-_]", body):
        raise KeyFormatError(f"{what}: neither PEM, hex nor base64")
    standard = body.replace("-", "+").replace("_", "/")
    try:
        raw = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise KeyFormatError(f"{what}: neither PEM, hex nor base64") from None
    if base64.b64encode(raw).rstrip(b"=").decode("ascii") != standard:
        raise KeyFormatError(f"{what}: neither PEM, hex nor base64")
    if len(raw) not in sizes:
        raise KeyFormatError(f"{what}: {len(raw)} bytes is no key's length")
    return raw
