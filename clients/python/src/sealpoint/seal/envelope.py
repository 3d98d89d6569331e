"""The envelope: its fields, its binary form, its JSON form and the data it is bound to.

All of it is fixed by docs/sealing-format-v1.md and may never change for version 1.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from typing import Any, Mapping, Union

from .errors import EnvelopeError, KeyFormatError
from .keys import PublicKey

VERSION = 1
ALGORITHM = 0x0001
ALGORITHM_NAME = "HPKE-P256-SHA256-A256GCM"
INFO = b"sealpoint/v1"
SEALED_KEY = "$sealpoint"
ENVELOPES_MAX = 8

SEALING_ID_BYTES = 16
KID_BYTES = 8
ENC_BYTES = 65
NONCE_BYTES = 12
TAG_BYTES = 16

PointId = Union[int, str, uuid.UUID]
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")
_FIXED = {
    "sealing_id": SEALING_ID_BYTES,
    "kid": KID_BYTES,
    "ephemeral_public_key": ENC_BYTES,
    "nonce": NONCE_BYTES,
    "tag": TAG_BYTES,
}
_FIELDS = {"version", "algorithm", "encrypted_data", *_FIXED}


@dataclass(frozen=True)
class Envelope:
    sealing_id: bytes
    kid: bytes
    enc: bytes
    nonce: bytes
    tag: bytes
    ciphertext: bytes
    version: int = VERSION
    algorithm: int = ALGORITHM

    def to_json_object(self) -> dict[str, Any]:
        """The documented object that travels in a payload."""
        return {
            "version": self.version,
            "algorithm": ALGORITHM_NAME,
            "sealing_id": to_base64url(self.sealing_id),
            "kid": to_base64url(self.kid),
            "ephemeral_public_key": to_base64url(self.enc),
            "nonce": to_base64url(self.nonce),
            "tag": to_base64url(self.tag),
            "encrypted_data": to_base64url(self.ciphertext),
        }

    @classmethod
    def from_json_object(cls, value: Any) -> "Envelope":
        if not isinstance(value, Mapping):
            raise EnvelopeError("envelope: not an object")
        if set(value) != _FIELDS:
            missing = sorted(_FIELDS - set(value))
            raise EnvelopeError(f"envelope: lacks {missing[0]}" if missing else "envelope: holds an unknown key")
        version = value["version"]
        # Structs of protobuf carry 1 as an integer; 1.0 and true are something else.
        if isinstance(version, bool) or not isinstance(version, int) or version != VERSION:
            raise EnvelopeError("envelope: version is not known")
        if value["algorithm"] != ALGORITHM_NAME:
            raise EnvelopeError("envelope: algorithm is not known")
        parts: dict[str, bytes] = {}
        for field, size in _FIXED.items():
            parts[field] = from_base64url(value[field], field)
            if len(parts[field]) != size:
                raise EnvelopeError(f"envelope: {field} does not have {size} bytes")
        return cls(
            sealing_id=parts["sealing_id"],
            kid=parts["kid"],
            enc=parts["ephemeral_public_key"],
            nonce=parts["nonce"],
            tag=parts["tag"],
            ciphertext=from_base64url(value["encrypted_data"], "encrypted_data"),
        )._checked()

    def to_bytes(self) -> bytes:
        """The binary form, as it is stored."""
        return b"".join(
            (
                bytes((self.version,)),
                self.algorithm.to_bytes(2, "big"),
                self.sealing_id,
                self.kid,
                len(self.enc).to_bytes(2, "big"),
                self.enc,
                self.nonce,
                self.tag,
                self.ciphertext,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Envelope":
        fixed = 3 + SEALING_ID_BYTES + KID_BYTES + 2 + ENC_BYTES + NONCE_BYTES + TAG_BYTES
        if len(data) < 3 or data[0] != VERSION:
            raise EnvelopeError("envelope: version is not known")
        if int.from_bytes(data[1:3], "big") != ALGORITHM:
            raise EnvelopeError("envelope: algorithm is not known")
        if len(data) < fixed or int.from_bytes(data[27:29], "big") != ENC_BYTES:
            raise EnvelopeError("envelope: cut off, or its key has a wrong length")
        return cls(
            sealing_id=data[3:19],
            kid=data[19:27],
            enc=data[29:94],
            nonce=data[94:106],
            tag=data[106:122],
            ciphertext=data[122:],
        )._checked()

    def _checked(self) -> "Envelope":
        if not self.ciphertext:
            raise EnvelopeError("envelope: encrypted_data is empty")
        if self.enc[0] != 4:
            raise EnvelopeError("envelope: ephemeral_public_key is not an uncompressed point")
        return self

    def ephemeral_key(self) -> PublicKey:
        try:
            return PublicKey.parse(self.enc)
        except KeyFormatError as error:
            raise EnvelopeError("envelope: ephemeral_public_key is not on the curve P-256") from error


def parse_envelopes(value: Any) -> list[Envelope]:
    """Reads what stands under `$sealpoint`: a list of 1 to 8 envelopes, oldest first."""
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= ENVELOPES_MAX:
        raise EnvelopeError(f"envelope: {SEALED_KEY} is not a list of 1 to {ENVELOPES_MAX} envelopes")
    return [Envelope.from_json_object(item) for item in value]


def bound_data(sealing_id: bytes, point_id: PointId) -> bytes:
    """The aad: version, algorithm, sealing id and point id. It is the exporter context of the key as well."""
    if not isinstance(sealing_id, (bytes, bytearray)) or len(sealing_id) != SEALING_ID_BYTES:
        raise EnvelopeError(f"sealing_id: not {SEALING_ID_BYTES} bytes")
    head = bytes((VERSION,)) + ALGORITHM.to_bytes(2, "big") + bytes(sealing_id)
    if isinstance(point_id, int) and not isinstance(point_id, bool):
        if not 0 <= point_id < 2**64:
            raise EnvelopeError("point id: outside of 64 bits")
        return head + b"\x00" + point_id.to_bytes(8, "big")
    if isinstance(point_id, str):
        try:
            point_id = uuid.UUID(point_id)
        except ValueError:
            raise EnvelopeError("point id: neither a number nor a UUID") from None
    if isinstance(point_id, uuid.UUID):
        return head + b"\x01" + point_id.bytes
    raise EnvelopeError("point id: neither a number nor a UUID")


def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: Any, field: str) -> bytes:
    """base64url without padding, in its one canonical spelling; anything else is refused."""
    if not isinstance(text, str) or not _BASE64URL.match(text):
        raise EnvelopeError(f"envelope: {field} is not base64url without padding")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise EnvelopeError(f"envelope: {field} is not base64url without padding") from None
    if to_base64url(raw) != text:
        raise EnvelopeError(f"envelope: {field} is not base64url without padding")
    return raw
