"""Bookkeeping of one bulk stream across connections, without transport.

A chunk is kept, as it was sealed, until the server says that it is durable. After a cut the server names the last
chunk that it holds; what comes after it is sent again under the same sequence, so nothing is lost, doubled or undone.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any

import grpc

from ..gen.sealpoint.v1 import ingest_pb2
from ..messages.sealer import StreamSealer
from . import requests
from .model import IngestAck, IngestError

#: Cuts that a new connection can mend. INTERNAL and UNKNOWN are how broken HTTP/2 streams read.
RETRYABLE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
CHUNK_POINTS = 256
CHUNKS_IN_FLIGHT = 32
BYTES_IN_FLIGHT = 16 * 1024 * 1024
RETRIES = 8
_BACKOFF_SECONDS_MAX = 5.0


def new_stream_id() -> str:
    return secrets.token_hex(16)


def backoff_seconds(attempt: int) -> float:
    return min(0.1 * 2**attempt, _BACKOFF_SECONDS_MAX)


class IngestState:
    """Chunks in order, the window, and what the server acknowledged. Callers guard it against threads."""

    def __init__(
        self,
        collection: str,
        stream_id: str,
        sealer: StreamSealer | None,
        public_key: Any,
        fresh_ephemeral: bool,
        chunk_points: int,
        chunks_in_flight: int,
    ) -> None:
        if not 1 <= chunk_points <= 10_000:
            raise ValueError("chunk_points: between 1 and 10,000")
        if chunks_in_flight < 1:
            raise ValueError("chunks_in_flight: at least 1")
        self.collection = collection
        self.chunk_points = chunk_points
        self._in_flight_max = chunks_in_flight
        self._bytes_max = BYTES_IN_FLIGHT
        self._sealer = sealer
        start = ingest_pb2.BulkUpsertStart(
            collection_name=collection, stream_id=stream_id, fresh_ephemeral=fresh_ephemeral
        )
        if public_key is not None:
            start.public_key = requests.key_text(public_key)
        self.start_message = ingest_pb2.BulkUpsertRequest(start=start)
        self._pending: OrderedDict[int, Any] = OrderedDict()
        self._bytes = 0
        self._next = 1
        self._acknowledged = 0
        self._started_once = False
        self.input_done = False

    @property
    def last_acknowledged(self) -> int:
        return self._acknowledged

    @property
    def has_room(self) -> bool:
        if not self._pending:
            return True
        return len(self._pending) < self._in_flight_max and self._bytes < self._bytes_max

    @property
    def complete(self) -> bool:
        return self.input_done and not self._pending

    def started(self, message: Any) -> int:
        """Takes the server's first answer. Returns how many chunks of the input it has from an earlier run."""
        if message.chunk_points_max and self.chunk_points > message.chunk_points_max:
            raise IngestError(f"chunk_points: the server takes {message.chunk_points_max} at most", self._acknowledged)
        if message.bytes_in_flight_max:
            self._bytes_max = message.bytes_in_flight_max
        last = message.last_applied_sequence
        skip = 0
        if not self._started_once:
            self._started_once = True
            skip = last
        elif last >= self._next:
            raise IngestError(
                "the server holds chunks that this client never sent: the stream id is shared", self._acknowledged
            )
        elif self._pending and last + 1 < next(iter(self._pending)):
            raise IngestError("the server lost chunks that it had called durable", self._acknowledged)
        return skip

    def settle(self, last_applied: int) -> list[IngestAck]:
        """Acknowledges what the server holds from before a cut; the acknowledgements themselves were lost."""
        settled = []
        for sequence in [number for number in self._pending if number <= last_applied]:
            self._drop(sequence)
            if sequence > self._acknowledged:
                self._acknowledged = sequence
                settled.append(IngestAck(sequence, last_applied, False, 0))
        return settled

    def skip_chunk(self) -> IngestAck:
        """A chunk of the input that the server has from an earlier run: it is neither sealed nor sent."""
        sequence, self._next = self._next, self._next + 1
        self._acknowledged = sequence
        return IngestAck(sequence, sequence, False, 0)

    def add_chunk(self, points: list[Any]) -> Any:
        message = ingest_pb2.BulkUpsertRequest()
        message.chunk.sequence = self._next
        message.chunk.points.extend(requests.point_struct(point) for point in points)
        if self._sealer is not None:
            message = self._sealer.seal_next(message)
        elif any(point.HasField("public_key") for point in message.chunk.points):
            raise IngestError("a point names a recipient but nothing seals on this side", self._acknowledged)
        self._pending[self._next] = message
        self._bytes += message.ByteSize()
        self._next += 1
        return message

    def unsettled(self) -> list[Any]:
        return list(self._pending.values())

    def acknowledge(self, message: Any) -> IngestAck | None:
        """Takes an acknowledgement; None when its chunk was reported before."""
        for sequence in [number for number in self._pending if number <= message.durable_sequence]:
            self._drop(sequence)
        if message.sequence <= self._acknowledged:
            return None
        self._acknowledged = message.sequence
        return requests.ack(message)

    def _drop(self, sequence: int) -> None:
        self._bytes -= self._pending.pop(sequence).ByteSize()


def may_resume(error: grpc.RpcError, attempt: int) -> bool:
    return attempt < RETRIES and getattr(error, "code", lambda: None)() in RETRYABLE
