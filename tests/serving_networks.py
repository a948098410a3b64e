"""What tests of servers share: a tiny network, frames for it, and a clock that they set."""

import asyncio
import functools
import io
import json
import pathlib
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import keras
import numpy as np
import requests
from PIL import Image
from random_weights import randomize
from small_models import clocked_network

import keras_layers
import mpvn
from mpvn.prediction import Predictor
from mpvn.prediction.models import NetworkModel, open_model
from mpvn.runtime import CompiledNetwork
from mpvn.serving.engine import Engine
from mpvn.serving.server.metrics import Metrics
from mpvn.serving.server.run import Server
from mpvn.serving.server.service import Service

SHAPE = (6, 6, 2)


@functools.cache
def compiled() -> CompiledNetwork:
    """Three subnetworks with clocks 1, 2 and 4 and a window, compiled."""
    return clocked_network().compile_inference(units="block", batch=4)


def frame(stream: int, number: int) -> np.ndarray:
    """Return a random frame of a stream; no two are alike."""
    rng = np.random.default_rng([abs(stream), number])
    return rng.normal(size=SHAPE).astype("float32")


def alone(network: Any, frames: list[np.ndarray]) -> list[np.ndarray]:
    """Return the outputs of each step of a stream that has the network for itself."""
    state, outputs = network.initial_state(1), []
    for each in frames:
        output, state = network.step(each[None], state)
        outputs.append(keras.tree.map_structure(lambda value: np.array(value)[0], output))
    return outputs


class Clock:
    """A clock that stands until a test sets it.

    Attributes:
        now: the time in seconds.
    """

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


NAMES = ("jump", "run", "sit", "walk", "wave", "yawn")


@functools.cache
def classes_model() -> NetworkModel:
    """A network of three subnetworks that tells six classes of RGB frames 8 x 10, compiled."""
    frame = x = keras.Input((8, 10, 3), name="frame")
    x = keras.layers.Conv2D(4, 3, padding="same", name="c0")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(4, 1, activation="tanh", name="c1")(x)
    x = keras_layers.TemporalConv3D(4, (3, 1, 1), name="t2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(frame, keras.layers.Dense(len(NAMES), name="logits")(x), name="actions")
    randomize(model, np.random.default_rng(1))
    metadata = mpvn.Metadata(
        task="action", names={"classes": NAMES}, fps=12.5, size=(8, 10), pixels="-1..1"
    )
    plan = mpvn.Plan(model, boundaries=["c1", "t2"], clocks=[1, 2, 4])
    return open_model(mpvn.VideoNetwork(model, plan, metadata=metadata))


@functools.cache
def compiled_classes() -> CompiledNetwork:
    """The compiled network of `classes_model`."""
    return classes_model().network.compile_inference(units="block", batch=2)


class Served:
    """A server in a thread of this process.

    Args:
        options: arguments of `Service` and `Engine` by name, besides the network. `grpc`: whether
            there is gRPC. `ports`: those of HTTP and gRPC, if not any.

    Attributes:
        service, server: what runs.
        url: its address.
    """

    def __init__(self, network: Any = None, **options: Any) -> None:
        engines = {"streams", "batch", "wait", "deadline", "idle", "depth", "clock"}
        own = {key: options.pop(key) for key in engines & options.keys()}
        has_grpc = options.pop("grpc", False)
        port, grpc_port = options.pop("ports", (0, 0 if has_grpc else None))
        engine = Engine(
            network or compiled_classes(), **{"deadline": 60.0, **own}, statistics=Metrics()
        )
        engine.statistics.watch(engine)
        model, name = options.pop("model", None), options.pop("name", "actions")
        self.service = Service(model or classes_model(), engine, name, **options)
        self.server = Server(self.service, port=port, grpc_port=grpc_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self.server.start())
        self.url = f"http://127.0.0.1:{self.server.port}"
        self._stopped = False

    def run(self, coroutine: Coroutine) -> Any:
        """Return what a coroutine returns in the loop of the server."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request."""
        return requests.request(method, self.url + path, timeout=60, **options)

    def predict(self, body: Any, **options: Any) -> requests.Response:
        """Send a prediction: JSON, or bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body)
        return self.ask("POST", "/v1/models/actions:predict", data=content, **options)

    def stop(self, grace: float = 5.0) -> None:
        if not self._stopped:
            self._stopped = True
            self.run(self.server.stop(grace))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(60)
            self._loop.close()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def eventually(holds: Callable[[], bool]) -> bool:
    """Return whether something is true within a minute."""
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.002)
    return holds()


def picture(number: int, height: int = 24, width: int = 40) -> np.ndarray:
    """Return a random picture, uint8."""
    small = np.random.default_rng(number).integers(0, 256, (3, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height)))


def image_file(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    """Return the bytes of an image file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def predicted(folder: pathlib.Path, pictures: list[bytes], kind: str) -> list[np.ndarray]:
    """Return the outputs of a stream of image files, as `mpvn predict` reads them."""
    for number, content in enumerate(pictures):
        (folder / f"{number:03}.{kind.lower()}").write_bytes(content)
    predictor = Predictor(classes_model())
    with predictor.open(folder, over_time=True, fps=25) as opened:
        return [step.outputs for step in predictor.predict(opened)]
