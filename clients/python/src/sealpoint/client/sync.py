"""The blocking client."""

from __future__ import annotations

import threading
import time
from itertools import islice
from typing import Any, Iterable, Iterator, Mapping, Sequence

import grpc

from ..gen.qdrant import (
    collections_pb2,
    collections_service_pb2_grpc,
    points_pb2,
    points_service_pb2_grpc,
    qdrant_pb2,
    qdrant_pb2_grpc,
    qdrant_common_pb2,
)
from ..gen.sealpoint.v1 import (
    diagnostics_pb2_grpc,
    ingest_pb2_grpc,
    s5_pb2,
    s5_pb2_grpc,
    sealing_pb2,
    sealing_pb2_grpc,
)
from ..interceptor import PinSource
from ..messages.options import CollectionPin, Sealing
from ..messages.sealer import MessageSealer
from ..seal import PointId, PrivateKeyLike, PublicKeyLike, SealError
from ..seal.payload import Opener
from . import ingest, requests
from .model import Hit, IngestAck, IngestError, Points, Record, SealingState
from .options import channel_options, metadata_of, split_sealing

_UPSERT = "/qdrant.Points/Upsert"
_SET = "/qdrant.Points/SetPayload"
_OVERWRITE = "/qdrant.Points/OverwritePayload"


class Client:
    """A connection to one server. Use it as a context manager.

    With `sealing`, writes are sealed here, before they leave, and answers are opened here. The stubs `points`,
    `collections`, `ingest`, `sealing_service` and `s5` are the generated ones, without sealing.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:6334",
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        sealing: Sealing | None = None,
        timeout: float | None = 60.0,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        all_options = channel_options(options)
        if credentials is None:
            self.channel = grpc.insecure_channel(target, options=all_options)
        else:
            self.channel = grpc.secure_channel(target, credentials, options=all_options)
        self.sealing = sealing or Sealing()
        self._metadata = metadata_of(api_key)
        self._call = {"timeout": timeout, "metadata": self._metadata}
        self._sealer = MessageSealer(self.sealing)
        self._pins = PinSource(self.sealing, self.channel, self._metadata)
        self.points = points_service_pb2_grpc.PointsStub(self.channel)
        self.collections = collections_service_pb2_grpc.CollectionsStub(self.channel)
        self.diagnostics = diagnostics_pb2_grpc.DiagnosticsStub(self.channel)
        self.ingest = ingest_pb2_grpc.IngestStub(self.channel)
        self.sealing_service = sealing_pb2_grpc.SealingStub(self.channel)
        self.s5 = s5_pb2_grpc.S5Stub(self.channel)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self.channel.close()

    # Server and collections

    def version(self) -> str:
        return (
            qdrant_pb2_grpc.QdrantStub(self.channel).HealthCheck(qdrant_pb2.HealthCheckRequest(), **self._call).version
        )

    def create_collection(
        self,
        name: str,
        *,
        size: int | None = None,
        distance: str = "Cosine",
        vectors: Mapping[str, tuple[int, str]] | None = None,
        sealing: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Creates a collection with one vector (`size`, `distance`) or named ones ({"title": (384, "Cosine")}).

        `sealing` is a policy from `policy(...)`; `options` is protobuf JSON of qdrant.CreateCollection for the rest.
        """
        request = requests.create_collection(name, vectors, size, distance, sealing, options)
        self.collections.Create(request, **self._call)

    def delete_collection(self, name: str) -> bool:
        deleted = self.collections.Delete(collections_pb2.DeleteCollection(collection_name=name), **self._call).result
        # The program itself ended this collection: a new one of the same name has a sealing id of its own.
        self.sealing.forget(name)
        return deleted

    def list_collections(self) -> list[str]:
        answer = self.collections.List(collections_pb2.ListCollectionsRequest(), **self._call)
        return [item.name for item in answer.collections]

    def collection_exists(self, name: str) -> bool:
        request = collections_pb2.CollectionExistsRequest(collection_name=name)
        return self.collections.CollectionExists(request, **self._call).result.exists

    def collection_info(self, name: str) -> Any:
        """The qdrant.CollectionInfo message."""
        return self.collections.Get(collections_pb2.GetCollectionInfoRequest(collection_name=name), **self._call).result

    def create_field_index(self, collection: str, field: str, kind: str, *, wait: bool = True) -> None:
        """`kind`: keyword, integer, float, bool, datetime, uuid, geo or text."""
        self.points.CreateFieldIndex(requests.field_index(collection, field, kind, wait), **self._call)

    # Writes

    def upsert(
        self,
        collection: str,
        points: Points,
        *,
        seal: PublicKeyLike | None = None,
        public_key: PublicKeyLike | None = None,
        fresh_ephemeral: bool = False,
        wait: bool = True,
    ) -> int:
        """Writes points and returns their number.

        `seal` names the recipient for sealing on this side and wins over the one that the client pins; a point's own
        `seal` wins over both. `public_key` asks the server to seal instead: it then sees the payloads.
        """
        message = requests.upsert(collection, points, wait, public_key, fresh_ephemeral)
        named = any(point.HasField("public_key") for point in message.points)
        if not split_sealing(self.sealing, seal, public_key, named):
            self.points.Upsert(message, **self._call)
            return len(message.points)
        sealed = self._sealer.seal_request(_UPSERT, message, self._pins.pin(collection), recipient=seal, force=True)
        self.points.Upsert(sealed.messages[0], **self._call)
        return len(message.points)

    def set_payload(
        self,
        collection: str,
        payload: Mapping[str, Any],
        *,
        ids: Iterable[PointId] | None = None,
        filter: Any = None,
        seal: PublicKeyLike | None = None,
        public_key: PublicKeyLike | None = None,
        wait: bool = True,
    ) -> None:
        """Sets keys; on sealed points this appends an envelope. Sealing on this side needs `ids`."""
        message = requests.payload_update(collection, payload, ids, filter, wait, public_key)
        self._write_payload(self.points.SetPayload, _SET, collection, message, seal, public_key)

    def overwrite_payload(
        self,
        collection: str,
        payload: Mapping[str, Any],
        *,
        ids: Iterable[PointId] | None = None,
        filter: Any = None,
        seal: PublicKeyLike | None = None,
        public_key: PublicKeyLike | None = None,
        wait: bool = True,
    ) -> None:
        """Replaces whole payloads."""
        message = requests.payload_update(collection, payload, ids, filter, wait, public_key)
        self._write_payload(self.points.OverwritePayload, _OVERWRITE, collection, message, seal, public_key)

    def _write_payload(self, call: Any, method: str, collection: str, message: Any, seal: Any, public_key: Any) -> None:
        messages = [message]
        if split_sealing(self.sealing, seal, public_key, False):
            pin = self._pins.pin(collection)
            messages = self._sealer.seal_request(method, message, pin, recipient=seal, force=True).messages
        for one in messages:
            call(one, **self._call)

    def delete(
        self, collection: str, *, ids: Iterable[PointId] | None = None, filter: Any = None, wait: bool = True
    ) -> None:
        request = points_pb2.DeletePoints(collection_name=collection, points=requests.selector(ids, filter), wait=wait)
        self.points.Delete(request, **self._call)

    def bulk_upsert(
        self,
        collection: str,
        points: Points,
        *,
        stream_id: str | None = None,
        seal: PublicKeyLike | None = None,
        public_key: PublicKeyLike | None = None,
        fresh_ephemeral: bool = False,
        chunk_points: int = ingest.CHUNK_POINTS,
        chunks_in_flight: int = ingest.CHUNKS_IN_FLIGHT,
    ) -> Iterator[IngestAck]:
        """Streams points in and yields one acknowledgement for each chunk. A cut connection is taken up again.

        Give a `stream_id` to go on after a crash of this program: feed the same points in the same order and with the
        same `chunk_points`, and what the server already holds is passed over. Iterate to the end, or close the
        iterator to cancel.
        """
        sealer = None
        if split_sealing(self.sealing, seal, public_key, False):
            sealer = self._sealer.stream_sealer(recipient=seal)
        state = ingest.IngestState(
            collection,
            stream_id or ingest.new_stream_id(),
            sealer,
            public_key,
            fresh_ephemeral,
            chunk_points,
            chunks_in_flight,
        )
        if sealer is not None:
            sealer.start(state.start_message, self._pins.pin(collection))
        return _BulkUpsert(self.ingest, self._metadata, state, points).run()

    # Reads

    def query(
        self,
        collection: str,
        vector: Sequence[float] | PointId | None,
        *,
        limit: int = 10,
        open: PrivateKeyLike | Sequence[PrivateKeyLike] | None = None,
        **options: Any,
    ) -> list[Hit]:
        """Nearest points. Options: filter, using, ef, exact, score_threshold, offset, payload, vectors.

        `open` gives private keys for this call; otherwise the client's own open what is sealed to them.
        """
        request = requests.query(collection, vector, limit, **options)
        answer = self.points.Query(request, **self._call)
        self._open(collection, answer, open)
        return [requests.hit(item) for item in answer.result]

    search = query

    def retrieve(
        self,
        collection: str,
        ids: Iterable[PointId],
        *,
        payload: bool | Sequence[str] = True,
        vectors: bool | Sequence[str] = False,
        open: PrivateKeyLike | Sequence[PrivateKeyLike] | None = None,
    ) -> list[Record]:
        answer = self.points.Get(requests.get(collection, ids, payload, vectors), **self._call)
        self._open(collection, answer, open)
        return [requests.record(item) for item in answer.result]

    def count(self, collection: str, *, filter: Any = None, exact: bool = True) -> int:
        request = points_pb2.CountPoints(collection_name=collection, exact=exact)
        if filter is not None:
            request.filter.CopyFrom(requests.filter_message(filter))
        return self.points.Count(request, **self._call).result.count

    def scroll(
        self,
        collection: str,
        *,
        filter: Any = None,
        after: PointId | None = None,
        payload: bool | Sequence[str] = True,
        vectors: bool | Sequence[str] = False,
        page_size: int = 256,
        limit: int | None = None,
        open: PrivateKeyLike | Sequence[PrivateKeyLike] | None = None,
    ) -> Iterator[Record]:
        """All points of a consistent view, in id order. Closing the iterator ends the stream."""
        request = requests.scroll(collection, filter, after, payload, vectors, page_size, limit)
        opener = _opener(open)
        call = self.ingest.Scroll(request, metadata=self._metadata)
        try:
            for page in call:
                self._open(collection, page, opener)
                for item in page.points:
                    yield requests.record(item)
        finally:
            call.cancel()

    def _open(self, collection: str, answer: Any, keys: Any) -> None:
        opener = _opener(keys)
        points = self._sealer.find_sealed(answer, opener=opener)
        if points:
            self._sealer.open_points(points, self._pins.pin(collection), opener=opener)

    # Sealing

    @staticmethod
    def policy(
        mode: str, *, recipients: Iterable[PublicKeyLike] = (), clear_fields: Iterable[str] = (), padding: bool = False
    ) -> Any:
        """A policy for create_collection or set_policy; `mode` is off, optional or required."""
        return requests.policy(mode, recipients, clear_fields, padding)

    def set_policy(self, collection: str, policy: Any) -> SealingState:
        request = sealing_pb2.SetPolicyRequest(collection_name=collection, policy=policy)
        return requests.state(self.sealing_service.SetPolicy(request, **self._call).state)

    def get_policy(self, collection: str) -> SealingState:
        request = sealing_pb2.GetPolicyRequest(collection_name=collection)
        return requests.state(self.sealing_service.GetPolicy(request, **self._call).state)

    def count_plain(self, collection: str) -> tuple[int, int]:
        """Points that hold plain keys outside of the policy's clear fields, and points in all."""
        answer = self.sealing_service.CountPlain(
            sealing_pb2.CountPlainRequest(collection_name=collection), **self._call
        )
        return answer.plain, answer.total

    def pin(self, collection: str) -> CollectionPin:
        """The sealing ids in use for a collection: fetched once, then kept. Store them to pin them for good."""
        return self._pins.pin(collection)

    # S5

    def s5_load(
        self,
        manifest_path: str,
        user_address: str,
        session_key: bytes,
        *,
        session_id: str | None = None,
        collection: str | None = None,
        detach: bool = False,
        strict_address: bool = False,
        parallel_chunks: int | None = None,
        revalidate: bool = False,
        attach_as: str | None = None,
        persist: bool = False,
        not_before: int = 0,
    ) -> Iterator[s5_pb2.LoadResponse]:
        """Loads a database and yields its progress events.

        Closing the iterator cancels the load, unless `detach` is set. A load that fails raises grpc.RpcError after its event `loading_error`.
        """
        request = requests.s5_load(manifest_path, user_address, session_key, session_id, collection)
        request.detach, request.strict_address = detach, strict_address
        request.revalidate, request.persist = revalidate, persist
        request.not_before = not_before
        if parallel_chunks is not None:
            request.parallel_chunks = parallel_chunks
        if attach_as is not None:
            request.attach_as = attach_as
        call = self.s5.Load(request, metadata=self._metadata)
        try:
            yield from call
        finally:
            call.cancel()

    def s5_watch(self, session_id: str) -> Iterator[s5_pb2.WatchResponse]:
        """The progress of a load that was begun before: what there was, and what comes. Closing the iterator changes nothing."""
        call = self.s5.Watch(s5_pb2.WatchRequest(session_id=session_id), metadata=self._metadata)
        try:
            yield from call
        finally:
            call.cancel()

    def s5_search(
        self,
        session_id: str,
        vector: Sequence[float],
        k: int = 10,
        *,
        threshold: float | None = None,
        filter: qdrant_common_pb2.Filter | None = None,
        allow_partial: bool = False,
    ) -> s5_pb2.SearchResponse:
        """The best of a session, by cosine."""
        request = s5_pb2.SearchRequest(
            session_id=session_id, vector=vector, k=k, threshold=threshold, filter=filter, allow_partial=allow_partial
        )
        return self.s5.Search(request, metadata=self._metadata)


def _opener(keys: Any) -> Opener | None:
    return keys if keys is None or isinstance(keys, Opener) else Opener(keys)


class _Cut(Exception):
    """The connection ended before the work did."""

    def __init__(self, error: grpc.RpcError | None) -> None:
        super().__init__("cut")
        self.error = error


class _BulkUpsert:
    """One bulk upsert over as many connections as it needs.

    grpc pulls requests on a thread of its own. All state is behind one lock; `_generation` tells a thread of an
    abandoned connection to end.
    """

    def __init__(self, stub: Any, metadata: Any, state: ingest.IngestState, points: Points) -> None:
        self._stub = stub
        self._metadata = metadata
        self._state = state
        self._points = iter(points)
        self._changed = threading.Condition(threading.RLock())
        # The caller's iterator is advanced by one thread at a time, and outside of `_changed`.
        self._pulling = threading.Lock()
        self._generation = 0
        self._failure: BaseException | None = None

    def run(self) -> Iterator[IngestAck]:
        attempt = 0
        while True:
            before = self._state.last_acknowledged
            try:
                yield from self._connection()
                return
            except _Cut as cut:
                attempt = 0 if self._state.last_acknowledged > before else attempt + 1
                if cut.error is not None and not ingest.may_resume(cut.error, attempt):
                    raise cut.error from None
                if attempt >= ingest.RETRIES:
                    raise IngestError("the stream kept ending early", self._state.last_acknowledged) from cut.error
            time.sleep(ingest.backoff_seconds(attempt))

    def _connection(self) -> Iterator[IngestAck]:
        with self._changed:
            self._generation += 1
            generation = self._generation
        ready = threading.Event()
        call = self._stub.BulkUpsert(self._requests(generation, ready), metadata=self._metadata)
        try:
            for answer in call:
                if answer.WhichOneof("message") == "started":
                    yield from self._started(answer.started)
                    ready.set()
                    continue
                with self._changed:
                    ack = self._state.acknowledge(answer.ack)
                    self._changed.notify_all()
                if ack is not None:
                    yield ack
        except grpc.RpcError as error:
            if self._failure is not None:
                raise self._failure from None
            raise _Cut(error) from None
        finally:
            with self._changed:
                self._generation += 1
                self._changed.notify_all()
            ready.set()
            call.cancel()
        if self._failure is not None:
            raise self._failure
        with self._changed:
            if not self._state.complete:
                raise _Cut(None)

    def _started(self, started: Any) -> Iterator[IngestAck]:
        with self._changed:
            skip = self._state.started(started)
            settled = self._state.settle(started.last_applied_sequence)
        yield from settled
        for _ in range(skip):
            if not self._pull():
                self._state.input_done = True
                return
            yield self._state.skip_chunk()

    def _pull(self) -> list[Any]:
        return list(islice(self._points, self._state.chunk_points))

    def _requests(self, generation: int, ready: threading.Event) -> Iterator[Any]:
        yield self._state.start_message
        ready.wait()
        try:
            with self._changed:
                again = self._state.unsettled() if generation == self._generation else []
            yield from again
            sent = again[-1].chunk.sequence if again else 0
            while True:
                with self._changed:
                    while generation == self._generation and not self._state.has_room and self._failure is None:
                        self._changed.wait()
                    if generation != self._generation or self._failure is not None:
                        return
                with self._pulling:
                    # A thread of an earlier connection may have added chunks while this one waited.
                    with self._changed:
                        if generation != self._generation:
                            return
                        fresh = [item for item in self._state.unsettled() if item.chunk.sequence > sent]
                    if not fresh:
                        if self._state.input_done:
                            return
                        points = self._pull()
                        with self._changed:
                            if not points:
                                self._state.input_done = True
                            else:
                                fresh = [self._state.add_chunk(points)]
                            if generation != self._generation:
                                return
                for item in fresh:
                    sent = item.chunk.sequence
                    yield item
        except GeneratorExit:
            raise
        except BaseException as error:
            # grpc would swallow it and name only an iterator; the caller gets the error itself.
            with self._changed:
                self._failure = error
                self._changed.notify_all()
            raise


__all__ = ["Client", "SealError"]
