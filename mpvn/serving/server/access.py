"""Who may use the server: tokens, pages of other origins, and how often."""

import collections
import hmac
import ipaddress
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from mpvn.serving.errors import Forbidden, TooOften, Unauthorized

_MOST_CLIENTS = 4096


class Access:
    """Checks requests.

    A browser sends requests of any page to any server that it reaches, this machine's included. So
    a page must come from the server that it asks. Its name may be that of a stranger, too, which
    points to this machine: without a token, a server is called by an address or `localhost`.

    Args:
        token: the bearer token; None lets everybody in.
        host: the name by which the server is known, besides addresses and `localhost`.
        rate: most frames per second of a client; None for no limit.
        any_name: whether the server may be called by any name.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        token: str | None = None,
        host: str = "localhost",
        rate: float | None = None,
        any_name: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = None if token is None else token.encode()
        self._host = host
        self._rate = rate
        self._any_name = any_name or token is not None
        self._clock = clock
        self._spent: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()

    def check_token(self, header: str | None, query: str | None = None) -> None:
        """Raise Unauthorized unless a request has the token.

        Args:
            header: its header `Authorization`, or None.
            query: the token in its address, where browsers cannot set headers; or None.
        """
        if self._token is None:
            return
        scheme, _, bearer = (header or "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else (query or "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token):
            received = "a wrong one" if given else "none"
            raise Unauthorized(
                "Expected the token of the server, as 'Authorization: Bearer TOKEN'. Received: "
                f"{received}."
            )

    def check_origin(self, host: str | None, origin: str | None) -> None:
        """Raise Forbidden if a page of another server asks, or the server has a strange name.

        Args:
            host: the header `Host`, or None.
            origin: the header `Origin`, or None; only browsers send it.
        """
        if origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
            raise Forbidden(
                f"Expected a page of this server, {host}. Received: a page of {origin}."
            )
        if not self._any_name and not self._is_own(host):
            raise Forbidden(
                f"Expected the address of the server, localhost, or {self._host} as its name. "
                f"Received: {host}. Start the server with --host {host}, or with a token."
            )

    def admit(self, client: str, frames: int = 1) -> None:
        """Count frames of a client; raise TooOften if they are too many.

        Args:
            client: the address of the client.
            frames: number of frames.
        """
        if self._rate is None:
            return
        now = self._clock()
        spent, since = self._spent.pop(client, (0.0, now))
        spent = max(0.0, spent - (now - since) * self._rate)
        allowed = spent + frames <= max(1.0, self._rate)  # those of one second at once
        self._spent[client] = (spent + frames * allowed, now)
        if len(self._spent) > _MOST_CLIENTS:
            self._spent.popitem(last=False)
        if not allowed:
            raise TooOften(
                f"Expected at most {self._rate:g} frames per second of a client. Received: more. "
                "The frame was not seen."
            )

    def _is_own(self, host: str | None) -> bool:
        name = urlsplit(f"//{host or ''}").hostname or ""
        if name in ("localhost", self._host.lower()):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
