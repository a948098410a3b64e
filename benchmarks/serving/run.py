"""Measure servers of streams on this machine: bytes, frames per second, latencies, cameras.

    python benchmarks/serving/run.py               # everything; about 12 minutes on 2 cores
    python benchmarks/serving/run.py mobilenet_v2  # one network of these: see QUESTIONS
    python benchmarks/serving/run.py --small       # shows that it runs, measures nothing

All servers are in memory, each in a process of its own, and take turns; whoever has no turn waits.
Cameras run in another process, on the same cores. With TRITON_PYTHON, the Python of an environment
that has nvidia-pytriton, Triton takes part. Tables have medians of turns. Results go to
results/QUESTION.json, tables to README.md.
"""

import collections
import contextlib
import functools
import io
import json
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from load import KEPT  # noqa: E402
from measured_servers import STREAMS, TRITON, Running, Server, ask, mpvn_serve, stand_in, triton  # noqa: E402
from reporting import Rows, run_questions  # noqa: E402

ROUNDS = 2
"""Turns of each server, for each number of streams."""

SECONDS = {1: 1.5, 8: 2.0, 32: 3.0, 64: 4.0}
"""Seconds of a turn, by the number of streams."""

RATE = 5.0
"""Frames per second of a camera."""

FRAMES = 8
"""Frames that cameras send, again and again."""

COUNTED = 5
"""Frames whose bytes are counted."""

PACKAGES = ("openvino", "grpcio", "aiohttp")

SERVERS = (
    Server(
        "SavedModel, state in and out",
        "TensorFlow",
        "float32",
        stand_in("carried"),
        "/v1/models/network",
    ),
    Server(
        "SavedModel, state on the server",
        "TensorFlow",
        "float32",
        stand_in("kept"),
        "/v1/models/network",
    ),
    Server("mpvn serve", "TensorFlow", "float32", mpvn_serve("tensorflow"), "/readyz"),
    Server("mpvn serve", "OpenVINO", "float32", mpvn_serve("openvino"), "/readyz"),
    Server(
        "mpvn serve, WebSocket",
        "OpenVINO",
        "JPEG",
        mpvn_serve("openvino"),
        "/readyz",
        "socket",
        "http",
    ),
    Server("Triton, Python backend", "OpenVINO", "float32", triton, "/v2/health/ready", "triton"),
)


class Network(NamedTuple):
    """A network to serve.

    Attributes:
        build: builds it.
        streams: numbers of streams.
    """

    build: Any
    streams: tuple[int, ...]


def mobilenet(small: bool) -> Any:
    """Return MobileNetV2 in 4 subnetworks."""
    import keras

    import mpvn

    options = {"input_shape": (32, 32, 3), "alpha": 0.35} if small else {}
    model = keras.applications.MobileNetV2(weights=None, classifier_activation=None, **options)
    known = mpvn.Metadata(fps=25, pixels="-1..1")
    return mpvn.VideoNetwork(model, mpvn.Plan(model, 4), metadata=known)


def densenet(small: bool) -> Any:
    """Return Par-DenseNet with its clocks, in 4 subnetworks."""
    import mpvn
    from mpvn.models import PUBLISHED, par_densenet

    options = {"input_shape": (32, 32, 3), "width": 0.1} if small else {}
    model = par_densenet(clocks=True, joints=17, **options)
    plan = PUBLISHED["par_densenet"].plan(model, 4, phases="flat")
    return mpvn.VideoNetwork(model, plan, metadata=mpvn.Metadata(fps=25, pixels="-1..1"))


# --- the files ----------------------------------------------------------------------------------


def write_network(network: Any, folder: pathlib.Path) -> None:
    """Write a network in all its forms, and frames for it."""
    from PIL import Image

    from mpvn.data.rendered.figure_video import ACTIONS, FigureVideo
    from mpvn.pixels import to_signed

    network.save(folder / "network.keras")
    network.export(folder / "carried" / "network" / "1", verbose=False)
    network.export(folder / "kept" / "network" / "1", streams=2 * STREAMS, verbose=False)
    graph = network.graph
    size = tuple(graph.tensors[graph.inputs[0]].shape)
    output = tuple(graph.tensors[graph.model_outputs[0]].shape)
    (folder / "shapes.json").write_text(json.dumps({"frame": size, "output": output}))
    video = FigureVideo(ACTIONS.index("windmill_clockwise"), size=size[:2], frame_count=FRAMES)
    pixels = video.read(range(FRAMES))
    np.save(folder / "float32.npy", to_signed(pixels))
    files = np.empty(FRAMES, object)
    for number, each in enumerate(np.asarray(pixels, np.uint8)):
        file = io.BytesIO()
        Image.fromarray(each).save(file, "JPEG", quality=90)
        files[number] = np.frombuffer(file.getvalue(), np.uint8)
    np.save(folder / "JPEG.npy", files, allow_pickle=True)


def outputs_of(network: Any, folder: pathlib.Path) -> np.ndarray:
    """Return what the network answers to the frames that are counted, as `Cameras` sends them."""
    frames, state, outputs = np.load(folder / "float32.npy"), network.initial_state(1), []
    for number in (0, 0, *range(COUNTED)):
        output, state = network.step(frames[number][None], state)
        outputs.append(np.ravel(output)[:KEPT])
    return np.stack(outputs[2:])


# --- measuring ----------------------------------------------------------------------------------


@contextlib.contextmanager
def running(servers: list[Server], folder: pathlib.Path) -> Iterator[list[Running]]:
    """Run servers in the block."""
    started = []
    try:
        for server in servers:
            started.append(Running(server, folder))
        for each in started:
            each.wait()
        yield started
    finally:
        for each in started:
            each.stop()


def bytes_per_frame(server: Running, expected: np.ndarray) -> tuple[float, float]:
    """Return the bytes of a frame on their way there and back, of a connection that is open.

    Args:
        server: the server.
        expected: what the network answers to the frames, which the server must answer, too.
    """
    from relay import Relay

    relay = Relay(server.port)
    cameras = server.cameras(relay.port)
    ask(cameras, "count", 1)
    sent, received = relay.sent, relay.received
    outputs = ask(cameras, "count", COUNTED)["outputs"]
    relay.close()
    if server.server.sends == "float32":
        np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-5)
    return (relay.sent - sent) / COUNTED, (relay.received - received) / COUNTED


def measure(small: bool, network: Network) -> Rows:
    """Return the rows of a network."""
    chosen = [each for each in SERVERS if each.kind != "triton" or os.environ.get(TRITON)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        built = network.build(small)
        write_network(built, folder)
        expected = outputs_of(built, folder)
        with running(chosen, folder) as servers:
            traffic = [bytes_per_frame(each, expected) for each in servers]
            counts = (1, 2) if small else network.streams
            turns = take_turns(servers, counts, small)
    rows = []
    for number, (server, moved) in enumerate(zip(chosen, traffic, strict=True)):
        rows += [row(server, moved, count, turns[number, count]) for count in counts]
    return rows


def take_turns(
    servers: list[Running], counts: tuple[int, ...], small: bool
) -> dict[tuple[int, int], list[tuple[dict, dict]]]:
    """Let servers take turns.

    Returns:
        For each server and number of streams: what cameras said that send as fast as they are
        answered, and what cameras said that send `RATE` frames a second, for each turn.
    """
    turns = collections.defaultdict(list)
    for turn in range(1 if small else ROUNDS):
        for count in counts:
            seconds = 0.3 if small else SECONDS[count]
            for number, server in enumerate(servers):
                if not turn:
                    server.run(count, 0.1, None)  # opens the streams
                both = [server.run(count, seconds, rate) for rate in (None, RATE)]
                turns[number, count].append(tuple(both))
                print(f"{server.server.name}: {count} streams", file=sys.stderr)
    return turns


def row(
    server: Server,
    traffic: tuple[float, float],
    streams: int,
    turns: list[tuple[dict[str, Any], dict[str, Any]]],
) -> dict[str, Any]:
    """Return the row of a server and a number of streams."""
    closed, open_ = zip(*turns, strict=True)
    dropped = statistics.median(share_dropped(each) for each in open_)
    return {
        "server": server.name,
        "runs": server.runs,
        "sends": server.sends,
        "KB there": kilobytes(traffic[0]),
        "KB back": kilobytes(traffic[1]),
        "streams": streams,
        "frames/s": f"{statistics.median(each['rate'] for each in closed):.1f}",
        "p50 ms": milliseconds(closed, 50),
        "p99 ms": milliseconds(closed, 99),
        "client ms": f"{1e3 * statistics.median(each['cpu'] for each in closed):.1f}",
        "cameras: dropped": f"{100 * dropped:.0f} %",
        "cameras: p99 ms": milliseconds(open_, 99),
    }


def kilobytes(number: float) -> str:
    """Return bytes in units of 1000, with three digits."""
    return f"{number / 1000:.3g}" if number < 1e6 else f"{number / 1000:.0f}"


def milliseconds(turns: tuple[dict[str, Any], ...], percent: int) -> str:
    """Return the median over turns of a percentile of latencies; nothing without answers."""
    values = [np.percentile(each["latencies"], percent) for each in turns if each["latencies"]]
    return f"{1e3 * statistics.median(values):.0f}" if values else ""


def share_dropped(turn: dict[str, Any]) -> float:
    """Return the share of frames that were dropped."""
    frames = turn["dropped"] + len(turn["latencies"])
    return turn["dropped"] / max(1, frames)


QUESTIONS = {
    "mobilenet_v2": functools.partial(measure, network=Network(mobilenet, (1, 8, 32, 64))),
    "par_densenet": functools.partial(measure, network=Network(densenet, (32,))),
}


if __name__ == "__main__":
    run_questions(__file__, __doc__, QUESTIONS, PACKAGES)
