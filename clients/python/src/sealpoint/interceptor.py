"""gRPC interceptors that seal what goes out and open what comes in, under any generated stubs.

    channel = intercept_channel(grpc.insecure_channel(target), Sealing(recipient=key, private_keys=[own]))
    points = PointsStub(channel)          # sealpoint.gen or qdrant_client.grpc

For grpc.aio, give `aio_interceptors(...)` to the channel. A call whose sealing fails raises SealError and is not sent.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, AsyncIterator, Callable, Iterator

import grpc
import grpc.aio

from .messages.options import CollectionPin, Sealing
from .messages.policy import GET_POLICY, decode_policy_answer, encode_policy_request
from .messages.sealer import MessageSealer, lookup_collection_of
from .seal import SealError

_FETCH_SECONDS_MAX = 30.0
_BULK_UPSERT = "/sealpoint.v1.Ingest/BulkUpsert"


class PinSource:
    """Fetches a collection's sealing ids once and pins them."""

    def __init__(self, sealing: Sealing, channel: grpc.Channel | None, metadata: Any = None) -> None:
        self._sealing = sealing
        self._metadata = metadata
        self._ask = None if channel is None else channel.unary_unary(GET_POLICY)

    def pin(self, collection: str) -> CollectionPin:
        known = self._sealing.pin_of(collection)
        if known is not None:
            return known
        if self._ask is None:
            raise SealError(f"no sealing id is pinned for collection {collection!r}")
        answer = self._ask(encode_policy_request(collection), timeout=_FETCH_SECONDS_MAX, metadata=self._metadata)
        return self._sealing.pin(collection, decode_policy_answer(answer))


class AioPinSource:
    """The same for grpc.aio. `channel` may be a function, called when the first pin is needed."""

    def __init__(
        self, sealing: Sealing, channel: grpc.aio.Channel | Callable[[], grpc.aio.Channel] | None, metadata: Any = None
    ) -> None:
        self._sealing = sealing
        self._channel = channel
        self._metadata = metadata

    async def pin(self, collection: str) -> CollectionPin:
        known = self._sealing.pin_of(collection)
        if known is not None:
            return known
        channel = self._channel() if callable(self._channel) else self._channel
        if channel is None:
            raise SealError(f"no sealing id is pinned for collection {collection!r}")
        answer = await channel.unary_unary(GET_POLICY)(
            encode_policy_request(collection), timeout=_FETCH_SECONDS_MAX, metadata=self._metadata
        )
        return self._sealing.pin(collection, decode_policy_answer(answer))


def intercept_channel(channel: grpc.Channel, sealing: Sealing, *, fetch_pins: bool = True) -> grpc.Channel:
    """The channel with sealing. `fetch_pins` asks the server once for sealing ids that are not given."""
    return grpc.intercept_channel(channel, SealingInterceptor(sealing, channel if fetch_pins else None))


def aio_interceptors(
    sealing: Sealing, pins_from: grpc.aio.Channel | Callable[[], grpc.aio.Channel] | None = None
) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors for grpc.aio.insecure_channel or secure_channel. `pins_from` is a channel without them."""
    pins = AioPinSource(sealing, pins_from)
    return [_AioUnaryUnary(sealing, pins), _AioUnaryStream(sealing, pins), _AioStreamStream(sealing, pins)]


class SealingInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """For grpc.intercept_channel. `pins_from` is the channel that sealing ids are fetched over, if any."""

    def __init__(self, sealing: Sealing, pins_from: grpc.Channel | None = None) -> None:
        self._sealing = sealing
        self._sealer = MessageSealer(sealing)
        self._pins = PinSource(sealing, pins_from)

    def _open(self, request: Any, answer: Any) -> Any:
        for collection, points in _by_collection(self._sealer, request, answer):
            self._sealer.open_points(points, self._pins.pin(collection))
        return answer

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        collection = self._sealer.collection_to_pin(request)
        if collection is None:
            call = continuation(client_call_details, request)
            return _OpenedCall(call, lambda answer: self._open(request, answer))
        sealed = self._sealer.seal_request(client_call_details.method, request, self._pins.pin(collection))

        def finish(answer: Any) -> Any:
            sealed.mend_answer(answer)
            return self._open(request, answer)

        # All messages are sealed before the first one is sent.
        for message in sealed.messages[:-1]:
            continuation(client_call_details, message).result()
        return _OpenedCall(continuation(client_call_details, sealed.messages[-1]), finish)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if self._sealer.collection_to_pin(request) is not None:
            raise SealError("this call's request cannot be sealed")
        call = continuation(client_call_details, request)
        return _OpenedStream(call, lambda answer: self._open(request, answer), None)

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        if self._sealing.seals:
            raise SealError("client streams of this kind cannot be sealed")
        return continuation(client_call_details, request_iterator)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        if not self._sealing.seals:
            return _OpenedStream(continuation(client_call_details, request_iterator), lambda answer: answer, None)
        if client_call_details.method not in (_BULK_UPSERT, _BULK_UPSERT.encode()):
            raise SealError(f"the stream {client_call_details.method} cannot be sealed")
        outgoing = _SealedRequests(request_iterator, self._sealer.stream_sealer(), self._pins)
        return _OpenedStream(continuation(client_call_details, outgoing), lambda answer: answer, outgoing)


class _SealedRequests:
    """Seals a stream's requests as grpc pulls them. grpc swallows what an iterator raises, so it is kept here."""

    def __init__(self, requests: Any, sealer: Any, pins: PinSource) -> None:
        self._requests = iter(requests)
        self._sealer = sealer
        self._pins = pins
        self.failure: Exception | None = None

    def __iter__(self) -> "_SealedRequests":
        return self

    def __next__(self) -> Any:
        request = next(self._requests)
        try:
            return self._sealer.seal(request, self._pins.pin)
        except Exception as error:
            self.failure = error
            raise


class _OpenedCall(grpc.Call, grpc.Future):
    """A call whose answer is opened once, when it is read."""

    def __init__(self, call: Any, finish: Callable[[Any], Any]) -> None:
        self._call = call
        self._finish = finish
        self._lock = threading.Lock()
        self._answer: Any = None
        self._finished = False

    def result(self, timeout: float | None = None) -> Any:
        answer = self._call.result(timeout)
        with self._lock:
            if not self._finished:
                self._answer = self._finish(answer)
                self._finished = True
            return self._answer

    def exception(self, timeout: float | None = None) -> Any:
        return self._call.exception(timeout)

    def traceback(self, timeout: float | None = None) -> Any:
        return self._call.traceback(timeout)

    def add_done_callback(self, fn: Any) -> None:
        self._call.add_done_callback(lambda _: fn(self))

    def cancel(self) -> Any:
        return self._call.cancel()

    def cancelled(self) -> bool:
        return self._call.cancelled()

    def running(self) -> bool:
        return self._call.running()

    def done(self) -> bool:
        return self._call.done()

    def is_active(self) -> bool:
        return self._call.is_active()

    def time_remaining(self) -> Any:
        return self._call.time_remaining()

    def add_callback(self, callback: Any) -> bool:
        return self._call.add_callback(callback)

    def initial_metadata(self) -> Any:
        return self._call.initial_metadata()

    def trailing_metadata(self) -> Any:
        return self._call.trailing_metadata()

    def code(self) -> Any:
        return self._call.code()

    def details(self) -> Any:
        return self._call.details()


class _OpenedStream:
    """A stream whose answers are opened one by one; everything else is the call's own."""

    def __init__(self, call: Any, finish: Callable[[Any], Any], outgoing: _SealedRequests | None) -> None:
        self._call = call
        self._finish = finish
        self._outgoing = outgoing

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            answer = next(self._call)
        except grpc.RpcError as error:
            if self._outgoing is not None and self._outgoing.failure is not None:
                raise self._outgoing.failure from error
            raise
        try:
            return self._finish(answer)
        except Exception:
            self._call.cancel()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _AioInterceptor:
    def __init__(self, sealing: Sealing, pins: AioPinSource) -> None:
        self._sealing = sealing
        self._sealer = MessageSealer(sealing)
        self._pins = pins

    async def _open(self, request: Any, answer: Any) -> None:
        for collection, points in _by_collection(self._sealer, request, answer):
            self._sealer.open_points(points, await self._pins.pin(collection))


class _AioUnaryUnary(_AioInterceptor, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        collection = self._sealer.collection_to_pin(request)
        if collection is None:
            call = await continuation(client_call_details, request)
            await self._open(request, await call)
            return call
        sealed = self._sealer.seal_request(client_call_details.method, request, await self._pins.pin(collection))
        call = None
        for message in sealed.messages:
            call = await continuation(client_call_details, message)
            # The answer is one object, changed in place: the call keeps its metadata.
            answer = await call
        sealed.mend_answer(answer)
        await self._open(request, answer)
        return call


class _AioUnaryStream(_AioInterceptor, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if self._sealer.collection_to_pin(request) is not None:
            raise SealError("this call's request cannot be sealed")
        call = await continuation(client_call_details, request)

        async def opened() -> AsyncIterator[Any]:
            try:
                async for answer in call:
                    await self._open(request, answer)
                    yield answer
            finally:
                call.cancel()

        return opened()


class _AioStreamStream(_AioInterceptor, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        if not self._sealing.seals:
            return await continuation(client_call_details, request_iterator)
        method = client_call_details.method
        if (method.decode() if isinstance(method, bytes) else method) != _BULK_UPSERT:
            raise SealError("this stream cannot be sealed")
        sealer = self._sealer.stream_sealer()
        failure: list[Exception] = []

        async def outgoing() -> AsyncIterator[Any]:
            async for request in _as_async(request_iterator):
                try:
                    if request.WhichOneof("message") == "start":
                        sealer.start(request, await self._pins.pin(request.start.collection_name))
                    sealed = sealer.seal_next(request)
                except Exception as error:
                    failure.append(error)
                    raise
                yield sealed

        call = await continuation(client_call_details, outgoing())

        async def incoming() -> AsyncIterator[Any]:
            try:
                async for answer in call:
                    yield answer
            except (grpc.RpcError, asyncio.CancelledError):
                if failure:
                    raise failure[0] from None
                raise
            finally:
                call.cancel()

        return incoming()


async def _as_async(items: Any) -> AsyncIterator[Any]:
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _by_collection(sealer: MessageSealer, request: Any, answer: Any) -> list[tuple[str, list[Any]]]:
    """The sealed points of an answer under the collection that each came from."""
    points = sealer.find_sealed(answer)
    if not points:
        return []
    collection = getattr(request, "collection_name", "")
    if not collection:
        raise SealError("the answer holds sealed points and its request names no collection")
    own = [point for point in points if not point.looked_up]
    looked_up = [point for point in points if point.looked_up]
    groups = [(collection, own)] if own else []
    if looked_up:
        groups.append((lookup_collection_of(request) or collection, looked_up))
    return groups
