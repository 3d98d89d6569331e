"""Errors of sealing and opening. None of them ever carries a key or a plaintext."""

from __future__ import annotations


class SealError(Exception):
    """Sealing or opening failed. A write that meets this error is not sent."""


class KeyFormatError(SealError, ValueError):
    """The text or the bytes are not a usable P-256 key."""


class EnvelopeError(SealError, ValueError):
    """The envelope does not have the published form."""


class CborError(SealError, ValueError):
    """The value cannot be written as, or is not, the deterministic CBOR of the sealing format."""


class OpenError(SealError):
    """Opening failed: a wrong key, a wrong point or collection and tampering all read the same."""

    def __init__(self) -> None:
        super().__init__("cannot open the seal")
