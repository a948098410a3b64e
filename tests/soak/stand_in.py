"""The stand-in of TensorFlow Serving as a process: `python -m soak.stand_in FOLDER HTTP GRPC`."""

import pathlib
import signal
import sys
import threading

from tf_serving_stand_in import StandIn


def main() -> None:
    folder, http_port, grpc_port = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server = StandIn(pathlib.Path(folder), int(http_port), int(grpc_port))
    print("ready", flush=True)
    stop.wait()
    server.kill()


if __name__ == "__main__":
    main()
