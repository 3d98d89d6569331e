"""What a client pins on its own side: recipients, clear fields, sealing ids and the keys that open.

Nothing of it changes because a server says so. A sealing id that was fetched once stays.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Callable, Iterable, Mapping, Union

from ..seal import PointId, PrivateKey, PrivateKeyLike, PublicKey, PublicKeyLike, SealError
from ..seal.envelope import SEALED_KEY, SEALING_ID_BYTES
from ..seal.payload import Opener

RecipientOf = Callable[[str, PointId], PublicKeyLike]


@dataclass(frozen=True)
class CollectionPin:
    """A collection's sealing ids. `accepted_sealing_ids` are those of collections copied into it."""

    sealing_id: bytes
    accepted_sealing_ids: tuple[bytes, ...] = ()
    #: True when the server appends an envelope at set_payload, as Sealpoint does. A plain Qdrant replaces the list,
    #: which would lose the older envelopes: partial updates are then refused here.
    appends_envelopes: bool = False
    #: Every id whose envelopes are opened.
    accepted: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        for sealing_id in (self.sealing_id, *self.accepted_sealing_ids):
            if not isinstance(sealing_id, (bytes, bytearray)) or len(sealing_id) != SEALING_ID_BYTES:
                raise SealError(f"sealing id: not {SEALING_ID_BYTES} bytes")
        object.__setattr__(self, "accepted", frozenset((self.sealing_id, *self.accepted_sealing_ids)))


class Sealing:
    """How a client seals and opens.

    recipient: whose key every written payload is sealed to, or a function of collection and point id that names it.
        Without one nothing is sealed and this object only opens.
    private_keys: what answers are opened with. Envelopes for other keys are left as they are, unless `strict`.
    clear_fields: payload keys that stay readable: one list for all collections, or a dict by collection.
    collections: sealing ids by collection (16 bytes or a CollectionPin); those missing are fetched once and then kept.
    """

    def __init__(
        self,
        *,
        recipient: Union[PublicKeyLike, RecipientOf, None] = None,
        private_keys: Union[PrivateKeyLike, Iterable[PrivateKeyLike]] = (),
        clear_fields: Union[Iterable[str], Mapping[str, Iterable[str]]] = (),
        collections: Mapping[str, Union[CollectionPin, bytes]] | None = None,
        padding: bool = False,
        fresh_ephemeral: bool = False,
        strict: bool = False,
    ) -> None:
        self._recipient_of: RecipientOf | None = None
        self._recipient: PublicKey | None = None
        if recipient is not None:
            if isinstance(recipient, (PublicKey, PrivateKey, str, bytes)):
                self._recipient = PublicKey.parse(recipient)
            elif callable(recipient):
                self._recipient_of = recipient
            else:
                raise SealError("recipient: neither a public key nor a function")
        if isinstance(private_keys, (PrivateKey, str, bytes)):
            private_keys = [private_keys]
        keys = list(private_keys)
        self.opener: Opener | None = Opener(keys) if keys else None
        if isinstance(clear_fields, str):
            raise SealError("clear_fields: a list of keys, not one text")
        self._clear_by_name: dict[str, frozenset[str]] | None = None
        self._clear: frozenset[str] = frozenset()
        if isinstance(clear_fields, Mapping):
            self._clear_by_name = {name: frozenset(fields) for name, fields in clear_fields.items()}
        else:
            self._clear = frozenset(clear_fields)
        if SEALED_KEY in self._clear or any(SEALED_KEY in fields for fields in (self._clear_by_name or {}).values()):
            raise SealError(f"clear_fields: {SEALED_KEY} is reserved")
        self.padding = padding
        self.fresh_ephemeral = fresh_ephemeral
        self.strict = strict
        self._lock = threading.Lock()
        self._pins: dict[str, CollectionPin] = {}
        for name, pin in (collections or {}).items():
            self._pins[name] = pin if isinstance(pin, CollectionPin) else CollectionPin(bytes(pin))

    @property
    def seals(self) -> bool:
        return self._recipient is not None or self._recipient_of is not None

    def recipient_of(self, collection: str, point_id: PointId) -> PublicKey | None:
        """The pinned recipient of a point; None when nothing is pinned."""
        if self._recipient_of is None:
            return self._recipient
        key = self._recipient_of(collection, point_id)
        if key is None:
            raise SealError("the recipient function named no key for a point")
        return PublicKey.parse(key)

    def clear_fields_of(self, collection: str) -> frozenset[str]:
        if self._clear_by_name is None:
            return self._clear
        return self._clear_by_name.get(collection, frozenset())

    def pin_of(self, collection: str) -> CollectionPin | None:
        return self._pins.get(collection)

    def pin(self, collection: str, pin: CollectionPin) -> CollectionPin:
        """Keeps the first pin of a collection and returns the one in force."""
        with self._lock:
            return self._pins.setdefault(collection, pin)

    def forget(self, collection: str) -> None:
        """Drops a pin, after the program itself deleted or replaced the collection."""
        with self._lock:
            self._pins.pop(collection, None)
