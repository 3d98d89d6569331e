"""Seals outgoing messages and opens incoming ones. No transport here: callers bring the pins.

Fails closed. A message that could carry a payload and is not known here is refused, never sent as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Callable, Iterable

from ..seal import Batch, EnvelopeError, OpenError, PublicKey, PublicKeyLike, SealError, parse_envelopes
from ..seal.envelope import SEALED_KEY
from ..seal.payload import Opener
from .options import CollectionPin, Sealing
from .values import payload_to_dict, point_id_of, set_payload, value_to_python

_UPSERT = "qdrant.UpsertPoints"
_SET_PAYLOAD = "qdrant.SetPayloadPoints"
_UPDATE_BATCH = "qdrant.UpdateBatchPoints"
_BULK = "sealpoint.v1.BulkUpsertRequest"
_HANDLED = (_UPSERT, _SET_PAYLOAD, _UPDATE_BATCH, _BULK)
_OVERWRITE_METHOD = "OverwritePayload"


@dataclass
class SealedRequest:
    """What to send in place of a request: usually one message; one for each id at set_payload."""

    messages: list[Any]
    #: For each operation of an UpdateBatch, how many it became. Empty when nothing was split.
    split: list[int] = field(default_factory=list)

    def mend_answer(self, answer: Any) -> None:
        """Brings an UpdateBatch answer back to one result for each operation that the caller gave."""
        if not self.split or len(answer.result) != sum(self.split):
            return
        kept, at = [], 0
        for count in self.split:
            at += count
            kept.append(type(answer.result[at - 1]).FromString(answer.result[at - 1].SerializeToString()))
        del answer.result[:]
        answer.result.extend(kept)


class MessageSealer:
    """Applies a `Sealing` to messages."""

    def __init__(self, sealing: Sealing) -> None:
        self.sealing = sealing

    def collection_to_pin(self, message: Any, *, force: bool = False) -> str | None:
        """The collection whose sealing id must be known before this request can be sealed, if there is one.

        `force` seals although no recipient is pinned: the request or its points then name theirs.
        """
        if not self.sealing.seals and not force:
            return None
        descriptor = getattr(message, "DESCRIPTOR", None)
        if descriptor is None:
            # Bytes, or whatever a foreign stub serializes: nobody can tell what they hold.
            raise SealError("the request is not a protobuf message, so that it cannot be sealed")
        name = descriptor.full_name
        if name not in _HANDLED:
            if _carries_points(descriptor):
                raise SealError(f"messages of type {name} carry payloads and cannot be sealed here")
            return None
        if name == _BULK:
            return message.start.collection_name if message.WhichOneof("message") == "start" else None
        return message.collection_name

    def seal_request(
        self,
        method: str | bytes,
        message: Any,
        pin: CollectionPin | None,
        *,
        recipient: PublicKeyLike | None = None,
        force: bool = False,
    ) -> SealedRequest:
        """Seals a unary request. The caller's message is never changed."""
        collection = self.collection_to_pin(message, force=force or recipient is not None)
        if collection is None:
            return SealedRequest([message])
        if pin is None:
            raise SealError("the collection's sealing id is not known")
        work = _RequestSealer(self.sealing, collection, pin, recipient)
        name = message.DESCRIPTOR.full_name
        if name == _UPSERT:
            return SealedRequest([work.upsert(message)])
        if name == _SET_PAYLOAD:
            return SealedRequest(work.payload_update(message, _is_overwrite(method)))
        if name == _UPDATE_BATCH:
            return work.update_batch(message)
        raise SealError(f"messages of type {name} cannot be sealed in a unary call")

    def stream_sealer(self, *, recipient: PublicKeyLike | None = None) -> "StreamSealer":
        return StreamSealer(self.sealing, recipient)

    def find_sealed(self, message: Any, *, opener: Opener | None = None) -> list["SealedPoint"]:
        """The points of an answer that hold envelopes which this side can open."""
        opener = opener or self.sealing.opener
        descriptor = getattr(message, "DESCRIPTOR", None)
        if opener is None or descriptor is None:
            return []
        found: list[SealedPoint] = []
        _collect(message, False, found)
        return [point for point in found if self._opens(point, opener)]

    def _opens(self, point: "SealedPoint", opener: Opener) -> bool:
        try:
            point.envelopes = parse_envelopes(value_to_python(point.message.payload[SEALED_KEY]))
        except EnvelopeError:
            if self.sealing.strict:
                raise
            return False
        if all(opener.holds_key(envelope.kid) for envelope in point.envelopes):
            return True
        if self.sealing.strict:
            raise OpenError
        # Half of a point would show stale fields: it is opened wholly or not at all.
        return False

    def open_points(self, points: Iterable["SealedPoint"], pin: CollectionPin, *, opener: Opener | None = None) -> None:
        """Opens points in place. Envelopes made under a sealing id that is not accepted are an error."""
        opener = opener or self.sealing.opener
        if opener is None:
            raise SealError("no private key to open with")
        for point in points:
            merged: dict[str, Any] = {}
            point_id = point_id_of(point.message.id)
            for envelope in point.envelopes:
                merged.update(opener.open(envelope, point_id=point_id, accepted_sealing_ids=pin.accepted))
            payload = point.message.payload
            clear = payload_to_dict({key: payload[key] for key in payload if key != SEALED_KEY})
            set_payload(payload, {**clear, **merged})


class SealedPoint:
    """A ScoredPoint or RetrievedPoint with envelopes; `looked_up` when it came from a group's lookup collection."""

    __slots__ = ("message", "looked_up", "envelopes")

    def __init__(self, message: Any, looked_up: bool) -> None:
        self.message = message
        self.looked_up = looked_up
        self.envelopes: list[Any] = []


class StreamSealer:
    """Seals the messages of one BulkUpsert stream, in order: one HPKE context for each chunk and recipient."""

    def __init__(self, sealing: Sealing, recipient: PublicKeyLike | None) -> None:
        self._sealing = sealing
        self._recipient = recipient
        self._collection: str | None = None
        self._fresh = False
        self._pin: CollectionPin | None = None

    def seal(self, message: Any, pin_of: Callable[[str], CollectionPin]) -> Any:
        """Seals one message; `pin_of` is asked once, at the start message."""
        if message.WhichOneof("message") == "start":
            self.start(message, pin_of(message.start.collection_name))
        return self.seal_next(message)

    def start(self, message: Any, pin: CollectionPin) -> None:
        self._collection = message.start.collection_name
        self._pin = pin
        self._fresh = message.start.fresh_ephemeral
        if message.start.HasField("public_key"):
            self._recipient = message.start.public_key

    def seal_next(self, message: Any) -> Any:
        kind = message.WhichOneof("message")
        if self._collection is None or self._pin is None:
            raise SealError("a stream's first message is its start")
        sealed = type(message)()
        sealed.CopyFrom(message)
        if kind == "start":
            # The recipient has done its work on this side; the server must not seal again.
            sealed.start.ClearField("public_key")
            return sealed
        work = _RequestSealer(self._sealing, self._collection, self._pin, self._recipient, self._fresh)
        for point in sealed.chunk.points:
            work.point(point)
        return sealed


class _RequestSealer:
    """Seals one request: one batch, so one HPKE context for each recipient."""

    def __init__(
        self,
        sealing: Sealing,
        collection: str,
        pin: CollectionPin,
        recipient: PublicKeyLike | None,
        fresh_ephemeral: bool = False,
    ) -> None:
        self._sealing = sealing
        self._collection = collection
        self._pin = pin
        self._recipient = recipient
        self._clear = sealing.clear_fields_of(collection)
        self._fresh = fresh_ephemeral or sealing.fresh_ephemeral
        self._batch = self._new_batch(self._fresh)

    def _new_batch(self, fresh: bool) -> Batch:
        return Batch(sealing_id=self._pin.sealing_id, padding=self._sealing.padding, fresh_ephemeral=fresh)

    def upsert(self, message: Any) -> Any:
        sealed = type(message)()
        sealed.CopyFrom(message)
        self._take_request_options(sealed)
        for point in sealed.points:
            self.point(point)
        return sealed

    def _take_request_options(self, message: Any) -> None:
        """The request's own recipient wins over the pinned one; it is the program's, not the server's, choice."""
        fields = message.DESCRIPTOR.fields_by_name
        if "public_key" in fields and message.HasField("public_key"):
            self._recipient = message.public_key
            message.ClearField("public_key")
        if "fresh_ephemeral" in fields and message.HasField("fresh_ephemeral"):
            if message.fresh_ephemeral and not self._fresh:
                self._fresh = True
                self._batch = self._new_batch(True)
            message.ClearField("fresh_ephemeral")

    def point(self, point: Any) -> None:
        """Seals a PointStruct in place."""
        point_id = point_id_of(point.id)
        recipient = self._recipient
        if "public_key" in point.DESCRIPTOR.fields_by_name and point.HasField("public_key"):
            recipient = point.public_key
            point.ClearField("public_key")
        self._seal_map(point.payload, point_id, recipient)

    def _seal_map(self, payload: Any, point_id: int | str, recipient: PublicKeyLike | None) -> None:
        secret_keys = [key for key in payload if key not in self._clear and key != SEALED_KEY]
        if SEALED_KEY in payload:
            # A point that was read unopened and is written back. Its envelopes must be whole and of this collection.
            if secret_keys:
                raise SealError(f"payload: {SEALED_KEY} stands beside fields that are not sealed")
            for envelope in parse_envelopes(value_to_python(payload[SEALED_KEY])):
                if envelope.sealing_id not in self._pin.accepted:
                    raise SealError(f"payload: {SEALED_KEY} was made for another collection")
            return
        if recipient is None:
            recipient = self._sealing.recipient_of(self._collection, point_id)
        if recipient is None:
            raise SealError("no recipient is pinned for a point")
        secret = payload_to_dict({key: payload[key] for key in secret_keys})
        envelope = self._batch.seal(secret, point_id=point_id, public_key=PublicKey.parse(recipient))
        for key in secret_keys:
            del payload[key]
        _set_sealed(payload, envelope.to_json_object())

    def payload_update(self, message: Any, overwrite: bool) -> list[Any]:
        """SetPayloadPoints, or the operation of the same shape: one message for each point id."""
        shared = type(message)()
        shared.CopyFrom(message)
        self._take_request_options(shared)
        what = "overwrite_payload" if overwrite else "set_payload"
        if message.HasField("key") and message.key:
            top = message.key.replace("[", ".").split(".", 1)[0].strip('"')
            if top in self._clear:
                return [shared]
            raise SealError(f"{what}: key points into a sealed field; write the whole field instead")
        if SEALED_KEY in message.payload:
            raise SealError(f"payload: {SEALED_KEY} is reserved")
        secret = [key for key in message.payload if key not in self._clear]
        if not secret and not overwrite:
            # Clear fields only: no envelope is used up for them.
            return [shared]
        selector = message.points_selector
        if not message.HasField("points_selector") or selector.WhichOneof("points_selector_one_of") != "points":
            raise SealError(f"{what}: sealed fields are bound to their point; select points by ids, not by a filter")
        ids = list(selector.points.ids)
        if not ids:
            raise SealError(f"{what}: the points selector holds no ids")
        if not overwrite and not self._pin.appends_envelopes:
            raise SealError(
                "set_payload: this server would replace the point's older envelopes; overwrite the whole payload, or "
                "pin the collection with appends_envelopes=True when the server is a Sealpoint"
            )
        sealed = []
        for point_id in ids:
            one = type(message)()
            one.CopyFrom(shared)
            del one.points_selector.points.ids[:]
            one.points_selector.points.ids.add().CopyFrom(point_id)
            self._seal_map(one.payload, point_id_of(point_id), self._recipient)
            sealed.append(one)
        return sealed

    def update_batch(self, message: Any) -> SealedRequest:
        sealed = type(message)()
        sealed.CopyFrom(message)
        del sealed.operations[:]
        split = []
        for operation in message.operations:
            kind = operation.WhichOneof("operation")
            before = len(sealed.operations)
            # Each operation names its own recipient; none inherits the one before.
            recipient, fresh, batch = self._recipient, self._fresh, self._batch
            if kind == "upsert":
                target = getattr(sealed.operations.add(), kind)
                target.CopyFrom(operation.upsert)
                self._take_request_options(target)
                for point in target.points:
                    self.point(point)
            elif kind in ("set_payload", "overwrite_payload"):
                for one in self.payload_update(getattr(operation, kind), kind == "overwrite_payload"):
                    getattr(sealed.operations.add(), kind).CopyFrom(one)
            elif kind is None:
                raise SealError("update_batch: an operation is empty or of a kind that is not known here")
            else:
                sealed.operations.add().CopyFrom(operation)
            self._recipient, self._fresh, self._batch = recipient, fresh, batch
            split.append(len(sealed.operations) - before)
        return SealedRequest([sealed], split if any(count != 1 for count in split) else [])


def _is_overwrite(method: str | bytes) -> bool:
    name = method.decode("ascii") if isinstance(method, bytes) else method
    return name.rsplit("/", 1)[-1] == _OVERWRITE_METHOD


def _set_sealed(payload: Any, envelope: dict[str, Any]) -> None:
    entry = payload[SEALED_KEY]
    fields = entry.list_value.values.add().struct_value.fields
    for key, value in envelope.items():
        if isinstance(value, int):
            fields[key].integer_value = value
        else:
            fields[key].string_value = value


@lru_cache(maxsize=4096)
def _carries_points(descriptor: Any) -> bool:
    """Whether a message can hold points with payloads, at any depth."""
    seen: set[str] = set()
    stack = [descriptor]
    while stack:
        current = stack.pop()
        if current.full_name in seen:
            continue
        seen.add(current.full_name)
        if current.full_name == "qdrant.PointStruct" or _payload_field(current) is not None:
            return True
        stack.extend(item.message_type for item in current.fields if item.message_type is not None)
    return False


def _payload_field(descriptor: Any) -> Any:
    """The field `map<string, qdrant.Value> payload`, if the message has it."""
    item = descriptor.fields_by_name.get("payload")
    entry = item.message_type if item is not None else None
    if entry is None or not entry.GetOptions().map_entry:
        return None
    value = entry.fields_by_name["value"].message_type
    return item if value is not None and value.full_name == "qdrant.Value" else None


def _is_point(descriptor: Any) -> bool:
    if _payload_field(descriptor) is None:
        return False
    point_id = descriptor.fields_by_name.get("id")
    return point_id is not None and getattr(point_id.message_type, "full_name", "") == "qdrant.PointId"


@lru_cache(maxsize=4096)
def _paths(descriptor: Any) -> tuple[bool, tuple[tuple[str, str], ...]]:
    """Whether the message is a point, and the fields (name, shape) under which points may stand."""
    paths = []
    for item in descriptor.fields:
        inner = item.message_type
        if inner is None or not _carries_points(inner):
            continue
        if inner.GetOptions().map_entry:
            if inner.full_name.rsplit(".", 1)[-1] != "PayloadEntry":
                paths.append((item.name, "map"))
        else:
            # Repeated fields have no presence; asking by label would tie us to a protobuf version.
            paths.append((item.name, "one" if item.has_presence else "many"))
    return _is_point(descriptor), tuple(paths)


def _collect(message: Any, looked_up: bool, found: list[SealedPoint]) -> None:
    descriptor = message.DESCRIPTOR
    if not _carries_points(descriptor):
        return
    is_point, paths = _paths(descriptor)
    if is_point and SEALED_KEY in message.payload:
        found.append(SealedPoint(message, looked_up))
    for name, shape in paths:
        inner_lookup = looked_up or (name == "lookup" and descriptor.full_name == "qdrant.PointGroup")
        if shape == "one":
            if message.HasField(name):
                _collect(getattr(message, name), inner_lookup, found)
        else:
            items = getattr(message, name)
            for item in items.values() if shape == "map" else items:
                _collect(item, inner_lookup, found)


def lookup_collection_of(request: Any) -> str | None:
    """The collection that a group request looks its groups up in."""
    descriptor = getattr(request, "DESCRIPTOR", None)
    if descriptor is None or "with_lookup" not in descriptor.fields_by_name or not request.HasField("with_lookup"):
        return None
    return request.with_lookup.collection
