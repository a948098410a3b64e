"""The cameras: a process that sends frames of many streams, and says how long answers took.

    python load.py KIND ADDRESS MODEL FRAMES

It reads commands from its input, one line of JSON each, and answers with a line. It has one thread
for each stream. A camera has one frame on its way: while it waits, the newest frame takes the place
of older ones, which count as dropped.
"""

import asyncio
import functools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

TIMEOUT = 60.0

KEPT = 10
"""Numbers of an output that are compared."""

Step = Callable[[int], Any]
"""Sends a frame, given its number, and returns the answer; None if the frame was dropped."""


class Seen(NamedTuple):
    """What a stream has seen.

    Attributes:
        latencies: seconds from a frame to its answer.
        finished: when each answer came.
        dropped: number of frames without an answer.
    """

    latencies: list[float]
    finished: list[float]
    dropped: int


# --- ways to send a frame -----------------------------------------------------------------------


def client_step(address: str, model: str, frames: np.ndarray) -> Step:
    """Return a stream through `mpvn.serving.Client`."""
    from mpvn.serving import Client, OverloadError

    client = Client(address, model, timeout=TIMEOUT, retry_for=0.0, on_restart="raise")

    def step(number: int) -> Any:
        try:
            (output,) = client.step(frames[number % len(frames)]).values()
        except OverloadError:
            return None
        return output

    return step


def triton_step(address: str, model: str, frames: np.ndarray) -> Step:
    """Return a stream through Triton's own client: a sequence."""
    import tritonclient.grpc

    client = tritonclient.grpc.InferenceServerClient(address.removeprefix("grpc://"))
    sequence, begun = next(_SEQUENCES), False

    def step(number: int) -> Any:
        nonlocal begun
        frame = frames[number % len(frames)][None]
        given = tritonclient.grpc.InferInput("frame", frame.shape, "FP32")
        given.set_data_from_numpy(frame)
        answer = client.infer(model, [given], sequence_id=sequence, sequence_start=not begun)
        begun = True
        return answer.as_numpy("output")[0]

    return step


_SEQUENCES = iter(range(1, 1 << 30))


def socket_step(address: str, model: str, frames: np.ndarray) -> Step:
    """Return a stream over a WebSocket, whose frames are JPEG files."""
    import aiohttp

    files = [frame.tobytes() for frame in frames]

    async def connect() -> Any:
        session = aiohttp.ClientSession()
        socket = await session.ws_connect(f"{address}/v1/models/{model}/stream", max_msg_size=0)
        await socket.receive_json(timeout=TIMEOUT)
        reader = asyncio.create_task(read(socket))
        return socket, reader

    async def read(socket: Any) -> None:
        # Always, also between turns: the server asks silent clients whether they are there.
        async for message in socket:
            answers.put_nowait(message.json())

    answers: asyncio.Queue[Any] = asyncio.Queue()
    socket, _reader = _in_loop(connect())

    async def ask(file: bytes) -> Any:
        await socket.send_bytes(file)
        message = await asyncio.wait_for(answers.get(), TIMEOUT)
        return message.get("answer")

    return lambda number: _in_loop(ask(files[number % len(files)]))


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _in_loop(coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result(TIMEOUT)


STEPS = {"client": client_step, "triton": triton_step, "socket": socket_step}


# --- cameras ------------------------------------------------------------------------------------


def closed(step: Step, _: int, begin: float, end: float) -> Seen:
    """Send each frame when the one before is answered."""
    latencies, finished, dropped, number = [], [], 0, 0
    while (start := time.perf_counter()) < end:
        if step(number) is not None:
            finished.append(time.perf_counter())
            latencies.append(finished[-1] - start)
        else:
            dropped += 1
        number += 1
    return Seen(latencies, finished, dropped)


def camera(rate: float) -> Callable[[Step, int, float, float], Seen]:
    """Return what sends a frame `rate` times a second, the newest one if it is late."""

    def film(step: Step, stream: int, begin: float, end: float) -> Seen:
        latencies, finished, dropped = [], [], 0
        times = capture_times(begin + stream * 0.618 / rate % (1 / rate), end, rate)
        for number, captured in enumerate(times):
            now = time.perf_counter()
            if now < captured:
                time.sleep(captured - now)
            elif now >= captured + 1 / rate:  # there is a newer frame
                dropped += 1
                continue
            if step(number) is not None:
                finished.append(time.perf_counter())
                latencies.append(finished[-1] - captured)
            else:
                dropped += 1
        return Seen(latencies, finished, dropped)

    return film


def capture_times(begin: float, end: float, rate: float) -> Iterator[float]:
    """Yield when a camera takes its frames."""
    number = 0
    while (when := begin + number / rate) < end:
        yield when
        number += 1


class Cameras:
    """Streams that stay open.

    Args:
        open_stream: opens one.
        most: most streams.
    """

    def __init__(self, open_stream: Callable[[], Step], most: int = 64) -> None:
        self._open = open_stream
        self._steps: list[Step] = []
        self._pool = ThreadPoolExecutor(most)

    def run(self, streams: int, seconds: float, rate: float | None) -> dict[str, Any]:
        """Send frames of some streams for some seconds.

        Args:
            streams: number of streams.
            seconds: how long.
            rate: frames per second of each; None: as fast as they are answered.
        """
        self._have(streams)
        film = closed if rate is None else camera(rate)
        cpu, begin = time.process_time(), time.perf_counter()
        end = begin + seconds
        tasks = [
            self._pool.submit(film, step, number, begin, end)
            for number, step in enumerate(self._steps[:streams])
        ]
        seen = [task.result() for task in tasks]
        cpu = time.process_time() - cpu
        latencies = [each for one in seen for each in one.latencies]
        return {
            "latencies": latencies,
            "dropped": sum(one.dropped for one in seen),
            "rate": sum(when <= end for one in seen for when in one.finished) / seconds,
            "cpu": cpu / max(1, len(latencies)),
        }

    def _have(self, streams: int) -> None:
        """Open streams that are missing, and let each see a frame."""
        missing = streams - len(self._steps)
        if missing > 0:
            opened = [*self._pool.map(lambda _: self._open(), range(missing))]
            for step in opened:
                while step(0) is None:
                    time.sleep(0.1)
            self._steps += opened

    def count(self, frames: int) -> dict[str, Any]:
        """Send a number of frames of one stream; return the beginnings of the outputs."""
        self._have(1)
        outputs = [self._steps[0](number) for number in range(frames)]
        return {"outputs": [np.ravel(each)[:KEPT].tolist() for each in outputs]}


def main() -> None:
    kind, address, model, path = sys.argv[1:]
    frames = np.load(path, allow_pickle=True)
    cameras = Cameras(lambda: STEPS[kind](address, model, frames))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(getattr(cameras, name)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
