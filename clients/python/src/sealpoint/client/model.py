"""What goes into and comes out of the clients, as plain Python objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Sequence, Union

from ..seal import SEALED_KEY, PointId, PublicKeyLike

#: One dense vector, or dense vectors by name.
Vector = Union[Sequence[float], Mapping[str, Sequence[float]]]


@dataclass
class Point:
    """A point to write. `seal` names a recipient of its own, which wins over every other."""

    id: PointId
    vector: Vector
    payload: Mapping[str, Any] = field(default_factory=dict)
    seal: PublicKeyLike | None = None


@dataclass(frozen=True)
class Record:
    """A point as it was read. `sealed` tells that its payload still holds envelopes that were not opened."""

    id: int | str
    payload: dict[str, Any]
    vector: Any = None

    @property
    def sealed(self) -> bool:
        return SEALED_KEY in self.payload


@dataclass(frozen=True)
class Hit(Record):
    score: float = 0.0
    version: int = 0


@dataclass(frozen=True)
class RefusedPoint:
    """A point of a chunk that was not stored, with the google.rpc.Code and the reason."""

    index: int
    id: int | str | None
    code: int
    message: str


@dataclass(frozen=True)
class IngestAck:
    """One chunk's acknowledgement. `applied` is False when the server already had it from before a cut."""

    sequence: int
    durable_sequence: int
    applied: bool
    points_applied: int
    refused: tuple[RefusedPoint, ...] = ()


class IngestError(Exception):
    """A bulk stream ended for good. `last_sequence` is the last chunk that was acknowledged."""

    def __init__(self, message: str, last_sequence: int) -> None:
        super().__init__(f"{message} (last acknowledged chunk: {last_sequence})")
        self.last_sequence = last_sequence


@dataclass(frozen=True)
class SealingState:
    """A collection's policy as the server has it. Clients do not obey it: see `Sealing`."""

    mode: str
    recipients: tuple[str, ...]
    clear_fields: tuple[str, ...]
    padding: bool
    sealing_id: bytes
    accepted_sealing_ids: tuple[bytes, ...]
    epoch: int


PointLike = Union[Point, tuple, Any]
Points = Iterable[PointLike]
