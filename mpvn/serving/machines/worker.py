"""The streams of one replica: an engine, and the tickets of what it holds."""

import collections
import os
from collections.abc import Mapping, Sequence

import numpy as np

from mpvn.export.names import STREAM
from mpvn.prediction.models import NetworkModel, open_model
from mpvn.serving.engine import Engine, default_batch
from mpvn.serving.machines.directory import Ticket
from mpvn.serving.machines.settings import Settings
from mpvn.serving.machines.turns import Turns
from mpvn.serving.server.metrics import Metrics
from mpvn.serving.server.service import Limits, Service
from mpvn.serving.server.signatures import Arrays
from mpvn.serving.warm_up import warm_up
from mpvn.streaming.choice import RuntimeChoice


class Worker:
    """Answers requests for the streams that a directory has placed here.

    Args:
        service: a network and its engine. The engine gives up slots at once: the directory says who
            may come.
        depth: most frames of a stream that wait.

    Attributes:
        service: the argument.
    """

    def __init__(self, service: Service, depth: int = 2) -> None:
        self.service = service
        self._turns = Turns(depth)
        # By last use. One more than the engine has may be about to go.
        self._tickets: collections.OrderedDict[int, Ticket] = collections.OrderedDict()

    @property
    def tickets(self) -> dict[int, Ticket]:
        """The tickets of the streams that it holds."""
        return dict(self._tickets)

    async def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        tickets: Sequence[Ticket] = (),
        deadline: float | None = None,
    ) -> Arrays:
        """Return the outputs of a request; see `Service.predict`.

        Args:
            signature: name of the signature.
            inputs: arrays by name.
            tickets: of each stream, if the signature has streams.
            deadline: seconds to the answer, at most.

        Raises:
            ServingError: the request is refused.
        """
        ids = inputs[STREAM].tolist() if STREAM in inputs else []
        async with self._turns.turn(ids, may_drop=signature != "reset"):
            for stream_id, ticket in zip(ids, tickets, strict=True):
                self._begin(stream_id, ticket)
            return await self.service.predict(signature, inputs, "", deadline)

    async def forget(self, tickets: Mapping[int, Ticket]) -> None:
        """Forget streams that have ended, unless they have begun anew here."""
        for stream_id, ticket in tickets.items():
            async with self._turns.turn([stream_id], may_drop=False):
                if self._tickets.get(stream_id) == ticket:
                    del self._tickets[stream_id]
                    self.service.engine.reset(stream_id)

    def _begin(self, stream_id: int, ticket: Ticket) -> None:
        """Go on with a stream, or begin it anew if its ticket is another one."""
        if self._tickets.get(stream_id) != ticket:
            self.service.engine.reset(stream_id)
        self._tickets[stream_id] = ticket
        self._tickets.move_to_end(stream_id)
        while len(self._tickets) > 2 * self.service.engine.capacity:
            oldest, _ = self._tickets.popitem(last=False)
            self.service.engine.reset(oldest)


def create_worker(settings: Settings) -> Worker:
    """Load and compile a network, and warm it up.

    Raises:
        ValueError: there is no such network, or it cannot be served so.
    """
    choice = RuntimeChoice(settings.runtime, settings.precision, settings.threads)
    model = open_model(settings.model, choice=choice)
    if not isinstance(model, NetworkModel):
        raise ValueError(
            f"{settings.model}: expected a network, which is compiled for its machine. Received: "
            "an export. Give the .keras file or the run."
        )
    model.network.check_streams()
    batch = settings.batch or default_batch()
    metrics = Metrics()
    engine = Engine(
        model.choice.run(model.network, batch).network,
        streams=settings.streams,
        batch=batch,
        wait=settings.wait,
        deadline=settings.deadline,
        idle=0.0,
        depth=settings.depth,
        statistics=metrics,
    )
    metrics.watch(engine)
    warm_up(engine)
    name = settings.name or model.name
    limits = Limits(settings.body, settings.pixels)
    service = Service(model, engine, name, settings.images, settings.classes, limits)
    return Worker(service, settings.depth)


def use_threads(threads: int | None) -> None:
    """Set the threads of a step in this process, before TensorFlow runs anything."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if threads is not None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
