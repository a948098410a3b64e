"""Networks that serve streams: clients, servers, and many machines.

Names are imported when they are used: a client needs nothing of the network's code.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpvn.serving.client import Client
    from mpvn.serving.client_errors import (
        AccessError,
        NotFoundError,
        OverloadError,
        RequestError,
        ServerError,
        StreamRestarted,
        UnavailableError,
    )

__all__ = [
    "AccessError",
    "Client",
    "NotFoundError",
    "OverloadError",
    "RequestError",
    "ServerError",
    "StreamRestarted",
    "UnavailableError",
]

_MODULE_OF = dict.fromkeys(__all__, "mpvn.serving.client_errors") | {
    "Client": "mpvn.serving.client"
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'mpvn.serving' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
