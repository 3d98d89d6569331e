"""Seals and opens payloads: plain dicts in, plain dicts out.

A write whose sealing fails raises; nothing here ever falls back to plaintext.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any, Iterable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import cbor
from .envelope import (
    ENVELOPES_MAX,
    INFO,
    NONCE_BYTES,
    SEALED_KEY,
    SEALING_ID_BYTES,
    TAG_BYTES,
    Envelope,
    PointId,
    bound_data,
    parse_envelopes,
)
from .errors import CborError, EnvelopeError, OpenError, SealError
from .hpke import ExporterContext, setup_recipient, setup_sender
from .keys import PrivateKey, PrivateKeyLike, PublicKey, PublicKeyLike

_CONTEXTS_MAX = 1024


class SealContext:
    """One HPKE context for one recipient: one ephemeral key, a key of its own for every point.

    Points sealed under one context show the same `ephemeral_public_key`, which tells that they came together. Use one
    per request or stream chunk, or a fresh one for every point to hide that.
    """

    __slots__ = ("recipient", "enc", "_exporter")

    def __init__(self, public_key: PublicKeyLike) -> None:
        self.recipient = PublicKey.parse(public_key)
        self.enc, self._exporter = setup_sender(self.recipient, INFO)

    def seal(
        self, payload: Mapping[str, Any], *, sealing_id: bytes, point_id: PointId, padding: bool = False
    ) -> Envelope:
        if SEALED_KEY in payload:
            raise SealError(f"payload: {SEALED_KEY} is reserved and cannot be sealed")
        plaintext = cbor.encode(payload)
        if padding:
            plaintext = plaintext.ljust(cbor.padme_length(len(plaintext)), b"\x00")
        aad = bound_data(sealing_id, point_id)
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self._exporter.export(aad, 32)).encrypt(nonce, plaintext, aad)
        return Envelope(
            sealing_id=bytes(sealing_id),
            kid=self.recipient.kid,
            enc=self.enc,
            nonce=nonce,
            tag=sealed[-TAG_BYTES:],
            ciphertext=sealed[:-TAG_BYTES],
        )


class Batch:
    """Seals the points of one request or stream chunk; keeps one context for each recipient."""

    def __init__(
        self,
        *,
        sealing_id: bytes,
        public_key: PublicKeyLike | None = None,
        padding: bool = False,
        fresh_ephemeral: bool = False,
    ) -> None:
        if not isinstance(sealing_id, (bytes, bytearray)) or len(sealing_id) != SEALING_ID_BYTES:
            raise EnvelopeError(f"sealing_id: not {SEALING_ID_BYTES} bytes")
        self.sealing_id = bytes(sealing_id)
        self._default = None if public_key is None else PublicKey.parse(public_key)
        self._padding = padding
        self._fresh = fresh_ephemeral
        self._contexts: dict[PublicKey, SealContext] = {}

    def seal(
        self, payload: Mapping[str, Any], *, point_id: PointId, public_key: PublicKeyLike | None = None
    ) -> Envelope:
        """Seals one map; `public_key` wins over the batch's."""
        recipient = self._default if public_key is None else PublicKey.parse(public_key)
        if recipient is None:
            raise SealError("no recipient: the batch and the point both lack a public key")
        context = None if self._fresh else self._contexts.get(recipient)
        if context is None:
            context = SealContext(recipient)
            if not self._fresh:
                self._contexts[recipient] = context
        return context.seal(payload, sealing_id=self.sealing_id, point_id=point_id, padding=self._padding)


class Opener:
    """Opens what was sealed to any of its private keys. Remembers contexts, so that a batch costs one key exchange."""

    def __init__(self, private_keys: PrivateKeyLike | Iterable[PrivateKeyLike]) -> None:
        if isinstance(private_keys, (PrivateKey, str, bytes)):
            private_keys = [private_keys]
        keys = [PrivateKey.parse(key) for key in private_keys]
        if not keys:
            raise SealError("no private key to open with")
        self._keys = {key.public_key.kid: key for key in keys}
        self._contexts: OrderedDict[tuple[bytes, bytes], ExporterContext] = OrderedDict()

    def holds_key(self, kid: bytes) -> bool:
        return kid in self._keys

    def open(self, envelope: Envelope, *, point_id: PointId, accepted_sealing_ids: Iterable[bytes]) -> dict[str, Any]:
        """Opens one envelope. Raises OpenError, with one text for every reason."""
        key = self._keys.get(envelope.kid)
        if key is None or envelope.sealing_id not in set(accepted_sealing_ids):
            raise OpenError
        aad = bound_data(envelope.sealing_id, point_id)
        try:
            content_key = self._context(envelope, key).export(aad, 32)
            plaintext = AESGCM(content_key).decrypt(envelope.nonce, envelope.ciphertext + envelope.tag, aad)
            opened = cbor.decode(plaintext, padded=True)
        except (InvalidTag, CborError, EnvelopeError):
            raise OpenError from None
        if not isinstance(opened, dict) or SEALED_KEY in opened:
            raise OpenError
        return opened

    def open_payload(
        self, payload: Mapping[str, Any], *, point_id: PointId, accepted_sealing_ids: Iterable[bytes]
    ) -> dict[str, Any]:
        """Opens all envelopes of a payload and merges them in order over its clear fields."""
        if SEALED_KEY not in payload:
            return dict(payload)
        accepted = set(accepted_sealing_ids)
        merged = {key: value for key, value in payload.items() if key != SEALED_KEY}
        for envelope in parse_envelopes(payload[SEALED_KEY]):
            merged.update(self.open(envelope, point_id=point_id, accepted_sealing_ids=accepted))
        return merged

    def _context(self, envelope: Envelope, key: PrivateKey) -> ExporterContext:
        name = (envelope.kid, envelope.enc)
        # pop and set, not move_to_end: two threads may be here at once and either order must be harmless.
        context = self._contexts.pop(name, None)
        if context is None:
            context = setup_recipient(envelope.ephemeral_key(), key, INFO)
        self._contexts[name] = context
        if len(self._contexts) > _CONTEXTS_MAX:
            try:
                self._contexts.popitem(last=False)
            except KeyError:
                pass
        return context


def seal_payload(
    payload: Mapping[str, Any],
    *,
    public_key: PublicKeyLike | None = None,
    sealing_id: bytes,
    point_id: PointId,
    context: SealContext | None = None,
    padding: bool = False,
    clear_fields: Iterable[str] = (),
) -> dict[str, Any]:
    """Returns the payload to store: the envelope under `$sealpoint`, and the clear fields beside it.

    Give a `context` to seal many points under one ephemeral key; it then names the recipient.
    """
    if context is None:
        if public_key is None:
            raise SealError("no recipient: give public_key or context")
        context = SealContext(public_key)
    elif public_key is not None and PublicKey.parse(public_key) != context.recipient:
        raise SealError("public_key and context name different recipients")
    clear, secret = split_payload(payload, clear_fields)
    envelope = context.seal(secret, sealing_id=sealing_id, point_id=point_id, padding=padding)
    return {**clear, SEALED_KEY: [envelope.to_json_object()]}


def split_payload(payload: Mapping[str, Any], clear_fields: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a payload into what stays readable and what is sealed."""
    if SEALED_KEY in payload:
        raise SealError(f"payload: {SEALED_KEY} is reserved")
    allowed = frozenset(clear_fields)
    if SEALED_KEY in allowed:
        raise SealError(f"clear_fields: {SEALED_KEY} is reserved")
    clear = {key: value for key, value in payload.items() if key in allowed}
    return clear, {key: value for key, value in payload.items() if key not in allowed}


def open_payload(
    payload: Mapping[str, Any],
    *,
    private_key: PrivateKeyLike,
    point_id: PointId,
    accepted_sealing_ids: Iterable[bytes],
) -> dict[str, Any]:
    """Opens a payload as it came from the store. Use an `Opener` for many."""
    return Opener(private_key).open_payload(payload, point_id=point_id, accepted_sealing_ids=accepted_sealing_ids)


__all__ = [
    "ENVELOPES_MAX",
    "Batch",
    "Opener",
    "SealContext",
    "open_payload",
    "seal_payload",
    "split_payload",
]
