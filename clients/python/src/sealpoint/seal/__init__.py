"""Sealing without a network: keys, envelopes, payloads. Needs `cryptography` only."""

from .envelope import (
    ALGORITHM_NAME,
    ENVELOPES_MAX,
    SEALED_KEY,
    Envelope,
    PointId,
    bound_data,
    from_base64url,
    parse_envelopes,
    to_base64url,
)
from .errors import CborError, EnvelopeError, KeyFormatError, OpenError, SealError
from .keys import PrivateKey, PrivateKeyLike, PublicKey, PublicKeyLike, new_sealing_id
from .payload import Batch, Opener, SealContext, open_payload, seal_payload, split_payload

__all__ = [
    "ALGORITHM_NAME",
    "ENVELOPES_MAX",
    "SEALED_KEY",
    "Batch",
    "CborError",
    "Envelope",
    "EnvelopeError",
    "KeyFormatError",
    "OpenError",
    "Opener",
    "PointId",
    "PrivateKey",
    "PrivateKeyLike",
    "PublicKey",
    "PublicKeyLike",
    "SealContext",
    "SealError",
    "bound_data",
    "from_base64url",
    "new_sealing_id",
    "open_payload",
    "parse_envelopes",
    "seal_payload",
    "split_payload",
    "to_base64url",
]
