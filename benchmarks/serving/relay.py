"""Counts bytes on their way: a port whose connections lead to another port of this machine."""

import socket
import threading


class Relay:
    """Passes everything on to a port.

    Args:
        port: the port.

    Attributes:
        port: where it listens.
        sent: bytes to the server.
        received: bytes back.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.sent = self.received = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for source, target, name in ((client, server, "sent"), (server, client, "received")):
                arguments = (source, target, name)
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, name: str) -> None:
        try:
            while content := source.recv(1 << 18):
                with self._lock:
                    setattr(self, name, getattr(self, name) + len(content))
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            target.close()
