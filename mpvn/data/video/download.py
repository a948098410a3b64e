"""Read a file or a broadcast behind http:// or https://."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from mpvn.data.video.incoming import Incoming
from mpvn.data.video.link import Link

_KEPT = "%/:=&?~#+!$,;'@()*[]"  # characters of a URL that have a meaning, or are escaped already


class Download(Incoming):
    """The answer of an HTTP server.

    Args:
        link: The connection.
        url: Its address, with user and password if it needs them.
        timeout: Seconds to wait for an answer, and for the next data.
        options: FFmpeg's options; `headers`, `user_agent` and `referer` are used.

    Attributes:
        link: The connection.
        size: Number of bytes; None if the server does not state it.

    Raises:
        OSError: The server does not answer, or refuses.
    """

    def __init__(self, link: Link, url: str, timeout: float, options: Mapping[str, str]) -> None:
        super().__init__(link)
        self._url, passwords = _without_password(urllib.parse.quote(url, safe=_KEPT))
        self._open = urllib.request.build_opener(
            urllib.request.HTTPBasicAuthHandler(passwords),
            urllib.request.HTTPDigestAuthHandler(passwords),
        ).open
        self._timeout = timeout
        self._headers = _headers(options)
        self._position = 0
        self._response: http.client.HTTPResponse | None = self._request(0)
        self._has_ranges = self._response.status == 206
        # A server may send less of the file than it was asked for.
        whole = re.search(r"/(\d+)$", self._response.headers.get("Content-Range", ""))
        self.size = self._response.length if whole is None else int(whole[1])

    def seekable(self) -> bool:
        """Return whether the server sends parts of the file."""
        return self._has_ranges and self.size is not None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Continue at another position. The server is asked when the next byte is read."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size or 0}[whence]
        if origin + offset != self.tell():
            self.close()
            self._ahead = b""
            self._position = origin + offset
        return self.tell()

    def tell(self) -> int:
        """Return the position of the next byte to read."""
        return self._position - len(self._ahead)

    def close(self) -> None:
        """Close the connection."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _fetch(self, count: int) -> bytes:
        if self._position == self.size:
            self.link.complete = True
            return b""
        if self._response is None or self._response.length == 0:
            self.close()
            self._response = self._request(self._position)
        try:
            data = self._response.read1(count)
        except http.client.HTTPException as error:
            raise OSError(f"the transfer was cut after {self._position} bytes") from error
        if not data and self.size is not None:
            raise OSError(f"the transfer was cut after {self._position} of {self.size} bytes")
        self._position += len(data)
        return data

    def _request(self, position: int) -> http.client.HTTPResponse:
        headers = {**self._headers, "Range": f"bytes={position}-"}
        try:
            response: http.client.HTTPResponse = self._open(
                urllib.request.Request(self._url, headers=headers), timeout=self._timeout
            )
        except urllib.error.HTTPError as error:
            error.close()
            raise
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"an answer that is not HTTP ({error!r})") from error
        if position and response.status != 206:
            response.close()
            raise OSError(f"the server no longer sends the file from byte {position} on")
        return response


def _without_password(url: str) -> tuple[str, urllib.request.HTTPPasswordMgr]:
    """Split `http://user:password@host/` into the address and the password for it."""
    parts = urllib.parse.urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    url = urllib.parse.urlunsplit(parts._replace(netloc=host))
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if user:
        name, _, password = user.partition(":")
        unquote = urllib.parse.unquote
        passwords.add_password(None, url, unquote(name), unquote(password))  # type: ignore[arg-type]
    return url, passwords


def _headers(options: Mapping[str, str]) -> dict[str, str]:
    headers = {"User-Agent": options.get("user_agent", "mpvn"), "Accept": "*/*"}
    if "referer" in options:
        headers["Referer"] = options["referer"]
    lines = re.split(r"[\r\n]+", options.get("headers", ""))
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return headers | {name.strip(): value.strip() for name, value in pairs}
