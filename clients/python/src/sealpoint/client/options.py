"""Options that both clients share."""

from __future__ import annotations

from typing import Any, Sequence

from ..messages.options import Sealing

_MESSAGE_BYTES_MAX = 64 * 1024 * 1024


def channel_options(extra: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """grpc's own limit of 4 MiB is below what pages with vectors need; 64 MiB is the server's."""
    return [
        ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
        *extra,
    ]


def metadata_of(api_key: str | None) -> tuple[tuple[str, str], ...]:
    return () if api_key is None else (("api-key", api_key),)


def split_sealing(sealing: Sealing, seal: Any, public_key: Any, point_keys: bool) -> bool:
    """Whether a write is sealed on this side. Asking both sides to seal is a mistake and is refused."""
    here = sealing.seals or seal is not None or point_keys
    if here and public_key is not None:
        raise ValueError("public_key asks the server to seal, but this client seals on its own side")
    return here
