"""Asks a server of TensorFlow whether it answers, without TensorFlow.

Any process may ask: the call is that of TensorFlow's own protocol, with an empty message.
"""

import time
from collections.abc import Callable

_METHOD = "/tensorflow.WorkerService/GetStatus"


class Ping:
    """A connection to a server that is asked again and again.

    Args:
        address: `"host:port"` of the server.

    Attributes:
        address: the address.
        refused: whether no process listened there at the last time, or the host was unreachable;
            otherwise a server that did not answer hangs.
    """

    def __init__(self, address: str) -> None:
        import grpc

        self.address = address
        self.refused = False
        options = [
            ("grpc.use_local_subchannel_pool", 1),  # so that `close` closes the connection
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 250),
            ("grpc.enable_http_proxy", 0),  # TensorFlow's connections use none
        ]
        self._channel = grpc.insecure_channel(address, options)
        self._call: Callable[..., bytes] = self._channel.unary_unary(_METHOD)

    def answers(self, seconds: float) -> bool:
        """Return whether the server answers within a time."""
        import grpc

        try:
            self._call(b"", timeout=seconds)
        except grpc.RpcError as error:
            self.refused = error.code() != grpc.StatusCode.DEADLINE_EXCEEDED
            return False
        self.refused = False
        return True

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def wait_for_answer(address: str, seconds: float) -> bool:
    """Return whether a server answers, once or later, within a time."""
    ping, end = Ping(address), time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            if ping.answers(min(left, 1.0)):
                return True
            time.sleep(min(0.1, max(0.0, end - time.monotonic())))
        return False
    finally:
        ping.close()
