"""The network as a service of named arrays, whatever protocol brings them."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.export.answers import Answers
from mpvn.export.names import STEPS, STREAM, network_names
from mpvn.export.specs import known_pixels
from mpvn.pixels import far_values
from mpvn.prediction.models import NetworkModel
from mpvn.serving.answer import Answer
from mpvn.serving.engine import Engine
from mpvn.serving.errors import Busy, Closed, InvalidRequest, ServingError, tell_ran
from mpvn.serving.server.access import Access
from mpvn.serving.server.images import Images
from mpvn.serving.server.metrics import Metrics
from mpvn.serving.server.offer import Offer
from mpvn.serving.server.signatures import (
    Arrays,
    Signature,
    find_signature,
    signatures_of,
)
from mpvn.state import STEP

_BODIES = 8  # of the largest size, at a time


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a client may send.

    Attributes:
        body: most bytes of a request, or of a message of a WebSocket.
        pixels: most pixels of a picture.
        seconds: longest time in which a request arrives, or an answer is taken.
    """

    body: int = 32 << 20
    pixels: int = 1 << 25
    seconds: float = 30.0


class Service(Offer):
    """A network that answers requests.

    Args:
        model: the network, and what it says about frames.
        engine: its streams, whose statistics are `Metrics`.
        name: name of the model.
        images: what frames of predictions are, a key of `IMAGES`.
        classes: how many of the likeliest classes predictions name; see `Answers.wanted`.
        limits: what a client may send.
        access: who may send it, and how often.

    Attributes:
        model, engine, name, limits, access: the arguments.
        metrics: the statistics of the engine.
        signatures: what it offers, by name.
        images: makes frames of pictures.
        is_ready: whether it takes requests.
    """

    def __init__(
        self,
        model: NetworkModel,
        engine: Engine,
        name: str,
        images: str | None = None,
        classes: int | None = None,
        limits: Limits = Limits(),
        access: Access | None = None,
    ) -> None:
        self.model, self.engine = model, engine
        self.limits = limits
        self.access = access or Access()
        if not isinstance(engine.statistics, Metrics):
            raise TypeError("engine. Expected statistics=Metrics(). Received: others.")
        self.metrics = engine.statistics
        self._answers = Answers.wanted(model.network, classes, images is not None)
        super().__init__(name, signatures_of(model.network, images, self._answers))
        side = model.metadata.shorter_side if model.metadata else None
        self.images = Images(model.size, side, limits.pixels)
        self._takes, self._pixels = images, known_pixels(model.network)
        self._names = network_names(model.network)
        self._busy = self._reading = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.threads = concurrent.futures.ThreadPoolExecutor(2, "mpvn server")
        self._clips = concurrent.futures.ThreadPoolExecutor(1, "mpvn clip")

    # --- requests ---------------------------------------------------------------------------

    async def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        client: str,
        deadline: float | None = None,
    ) -> Arrays:
        """Return the outputs of a request by name.

        Args:
            signature_name: the signature; the default one, if it is empty.
            inputs: arrays by name; strings are arrays of objects.
            client: who asks, for the rate.
            deadline: seconds in which the client wants the answer.

        Raises:
            ServingError: the request is refused.
        """
        signature = find_signature(self.signatures, signature_name)
        streams = signature.check(inputs)
        run = {"reset": self._reset, "clip": self._clip}.get(signature.name, self._step)
        async with self.working():
            steps = next(iter(inputs.values())).shape[1] if signature.name == "clip" else 1
            if signature.name != "reset":
                self.access.admit(client, streams * steps)
            return await run(signature, inputs, deadline)

    async def _step(
        self, signature: Signature, inputs: Mapping[str, np.ndarray], deadline: float | None
    ) -> Arrays:
        ids = inputs[STREAM].tolist()
        self.engine.check_room(ids)
        frames = await self.in_thread(self._frames, inputs, len(ids))
        futures = self.engine.submit_all(dict(zip(ids, frames, strict=True)), deadline)
        waited = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
        answers = _all_answers(ids, waited)
        rows = [keras.tree.flatten(answer.outputs) for answer in answers]
        outputs = self._named([np.stack(each) for each in zip(*rows, strict=True)])
        return {**outputs, STEP: np.array([answer.step for answer in answers], np.int64)}

    async def _reset(self, _: Signature, inputs: Mapping[str, np.ndarray], __: Any) -> Arrays:
        ids = inputs[STREAM].tolist()
        unknown = [each for each in ids if not self.engine.has(each)]
        if unknown:
            raise InvalidRequest(
                "Unknown stream_id. Expected streams that have begun since the server started, and "
                "that have neither been reset nor lost their places to others. Received: "
                f"{', '.join(map(str, unknown))}."
            )
        return {STEPS: np.array([self.engine.reset(each) for each in ids], np.int64)}

    async def _clip(self, _: Signature, inputs: Mapping[str, np.ndarray], __: Any) -> Arrays:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._clips, self._run_clip, inputs)

    def _run_clip(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Run new streams over whole clips, a step between two of others."""
        clips = next(iter(inputs.values()))
        streams, steps = clips.shape[:2]
        if not steps:
            raise InvalidRequest("Expected a clip of at least one frame. Received: none.")
        state, outputs = self.engine.network.initial_state(streams), []
        for step in range(steps):
            if not self.is_ready:
                raise Closed("The server stops. The clip was not computed.")
            frames = self._frames({name: clip[:, step] for name, clip in inputs.items()}, streams)
            checked = [
                self.engine.frames.check(f"Clip {row}, step {step}", frame)
                for row, frame in enumerate(frames)
            ]
            values, state = self.engine.step_apart(self.engine.frames.batch(checked), state)
            outputs.append([np.asarray(each) for each in keras.tree.flatten(values)])
        # [T][outputs] arrays [B, ...] -> [outputs] arrays [B, T, ...]
        return self._named([np.stack(each, axis=1) for each in zip(*outputs, strict=True)])

    # --- frames -----------------------------------------------------------------------------

    def _frames(self, inputs: Mapping[str, np.ndarray], streams: int) -> list[Any]:
        """Return the frames of each stream, as the network takes them."""
        if self._takes is not None:
            (name,) = self._names.inputs
            make = self.images.decode if self._takes == "jpeg" else self.images.crop
            return [self.prepared(make(picture)) for picture in inputs[name]]
        structure = self.model.network.graph.input_structure
        for name in self._names.inputs:
            self._check_pixels(name, inputs[name])
        return [
            keras.tree.pack_sequence_as(
                structure, [inputs[name][row] for name in self._names.inputs]
            )
            for row in range(streams)
        ]

    def _check_pixels(self, name: str, frames: np.ndarray) -> None:
        """Raise InvalidRequest if frames are pixels of another range than in training."""
        if self._pixels is None:
            return
        low, high = far_values(self._pixels)
        least, most = frames.min(), frames.max()
        is_finite = np.isfinite(least) and np.isfinite(most)  # others have an error of their own
        if is_finite and (least < low or most > high):
            raise InvalidRequest(
                f"Input {name!r}. Expected pixels of {self._pixels}, as in training. Received: "
                f"values from {least:g} to {most:g}. Scale them, or start the server with --images "
                "uint8."
            )

    def prepared(self, pixels: np.ndarray) -> Any:
        """Return pixels uint8 `[H, W, 3]` as the network takes them, in its structure of inputs."""
        graph = self.model.network.graph
        dtype = self.engine.frames.specs[0].dtype.as_numpy_dtype
        frame = np.asarray(self.model.prepare(pixels)).astype(dtype)
        return keras.tree.pack_sequence_as(graph.input_structure, [frame])

    def _named(self, outputs: list[np.ndarray]) -> Arrays:
        """Return outputs `[B, ...]` by name, and the names of the likeliest classes, if wanted."""
        named = dict(zip(self._names.outputs, outputs, strict=True))
        if self._answers is None:
            return named
        more = self._answers({name: tf.constant(value) for name, value in named.items()})
        return named | {name: value.numpy() for name, value in more.items()}

    def named(self, answer: Answer) -> Arrays:
        """Return the outputs of one stream by name, without a batch axis."""
        return dict(zip(self._names.outputs, keras.tree.flatten(answer.outputs), strict=True))

    # --- life -------------------------------------------------------------------------------

    async def in_thread(self, function: Callable, *arguments: Any) -> Any:
        """Run a function that takes long, such as decoding, beside the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, function, *arguments)

    @contextlib.asynccontextmanager
    async def working(self, size: int = 0) -> AsyncIterator[None]:
        """A request, for which a server that stops waits.

        Args:
            size: bytes of its body, which is still to be read.

        Raises:
            Busy: there are too many bodies at a time.
            Closed: the server stops.
        """
        if not self.is_ready:
            raise Closed("The server stops. Expected a running one. Ask another one.")
        most = _BODIES * self.limits.body
        if self._reading + size > most:
            raise Busy(
                f"Expected requests of at most {most} bytes at a time. Received: more. Ask later."
            )
        self._busy += 1
        self._reading += size
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            self._reading -= size
            if not self._busy:
                self._idle.set()

    async def drain(self, grace: float) -> None:
        """Take no more requests, and wait for those that run, for `grace` seconds at most."""
        self.is_ready = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace)
        await self.in_thread(self.engine.close, grace)

    def close(self) -> None:
        """Let threads end."""
        self.threads.shutdown(wait=False)
        self._clips.shutdown(wait=False)


def _all_answers(ids: list[int], waited: list[Answer | BaseException]) -> list[Answer]:
    """Return the answers; or raise the first error, which says what became of other streams."""
    answers = [each for each in waited if isinstance(each, Answer)]
    failed = [each for each in waited if isinstance(each, BaseException)]
    if not failed:
        return answers
    ran = [each for each, answer in zip(ids, waited, strict=True) if isinstance(answer, Answer)]
    if isinstance(failed[0], ServingError):
        tell_ran(failed[0], ran)
    raise failed[0]
