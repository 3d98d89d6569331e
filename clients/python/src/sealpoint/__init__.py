"""Client of Sealpoint, a sealed vector database that speaks Qdrant's gRPC.

`sealpoint.seal` works without a network and `sealpoint.interceptor` without generated code; the clients are imported
when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "sealpoint.client.aio",
    "Client": "sealpoint.client.sync",
    "Hit": "sealpoint.client.model",
    "IngestAck": "sealpoint.client.model",
    "IngestError": "sealpoint.client.model",
    "Point": "sealpoint.client.model",
    "Record": "sealpoint.client.model",
    "RefusedPoint": "sealpoint.client.model",
    "SealingState": "sealpoint.client.model",
    "CollectionPin": "sealpoint.messages.options",
    "Sealing": "sealpoint.messages.options",
    "aio_interceptors": "sealpoint.interceptor",
    "intercept_channel": "sealpoint.interceptor",
    "OpenError": "sealpoint.seal.errors",
    "PrivateKey": "sealpoint.seal.keys",
    "PublicKey": "sealpoint.seal.keys",
    "SealError": "sealpoint.seal.errors",
}

if TYPE_CHECKING:
    from .client.aio import AsyncClient
    from .client.model import Hit, IngestAck, IngestError, Point, Record, RefusedPoint, SealingState
    from .client.sync import Client
    from .interceptor import aio_interceptors, intercept_channel
    from .messages.options import CollectionPin, Sealing
    from .seal.errors import OpenError, SealError
    from .seal.keys import PrivateKey, PublicKey

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'sealpoint' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
