"""The statistics of an engine and a server, as Prometheus reads them.

Labels have few values, whatever clients send: reasons, protocols, codes.
"""

from collections.abc import Iterator, Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily

from mpvn.serving.engine import Engine
from mpvn.serving.statistics import Statistics

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Content type of `Metrics.text`."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_STREAMS = (1, 2, 4, 8, 16, 32, 64)


class Metrics(Statistics):
    """Counts, and passes counts on to a registry of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._registry = registry = CollectorRegistry()
        self._answered = Counter("mpvn_frames_answered", "Frames answered", registry=registry)
        self._dropped = Counter(
            "mpvn_frames_dropped",
            "Frames that the network has not seen",
            ["reason"],
            registry=registry,
        )
        self._failed = Counter("mpvn_frames_failed", "Frames whose step failed", registry=registry)
        self._sizes = Histogram(
            "mpvn_batch_streams", "Streams of a batch", buckets=_STREAMS, registry=registry
        )
        self._waits = Histogram(
            "mpvn_wait_seconds", "Time that frames waited", buckets=_SECONDS, registry=registry
        )
        self._computes = Histogram(
            "mpvn_compute_seconds",
            "Time of the step of a batch",
            buckets=_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "mpvn_errors", "Requests that were refused", ["protocol", "code"], registry=registry
        )
        self.sockets = Gauge("mpvn_websockets", "Open WebSockets", registry=registry)

    def watch(self, engine: Engine) -> None:
        """Also tell the streams of an engine."""
        streams = Gauge("mpvn_streams", "Streams that have a slot", registry=self._registry)
        waiting = Gauge("mpvn_frames_waiting", "Frames that wait", registry=self._registry)
        streams.set_function(lambda: engine.streams)
        waiting.set_function(lambda: engine.waiting)
        self._registry.register(_Reclaimed(engine))

    def add_batch(self, waits: Sequence[float], seconds: float) -> None:
        super().add_batch(waits, seconds)
        self._answered.inc(len(waits))
        self._sizes.observe(len(waits))
        self._computes.observe(seconds)
        for wait in waits:
            self._waits.observe(wait)

    def add_dropped(self, reason: str) -> None:
        super().add_dropped(reason)
        self._dropped.labels(reason).inc()

    def add_failed(self, frames: int) -> None:
        super().add_failed(frames)
        self._failed.inc(frames)

    def add_error(self, protocol: str, code: str) -> None:
        """Count a request that was refused.

        Args:
            protocol: `"rest"`, `"grpc"` or `"websocket"`.
            code: the name of its code in gRPC.
        """
        self._errors.labels(protocol, code).inc()

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self._registry)


class _Reclaimed:
    """The slots that an engine has given to other streams, counted by the engine itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(
            "mpvn_streams_reclaimed", "Idle streams that gave up their slot", self._engine.reclaimed
        )
