"""What is told about the speed of a stream: its times, ages, memory, and what it ran on."""

import dataclasses
from typing import Any

from mpvn.machine import machine_text, peak_memory, versions_text
from mpvn.streaming.statistics import Spread
from mpvn.streaming.stream import TimedStream


@dataclasses.dataclass(frozen=True)
class StreamReport:
    """The speed of a stream.

    Attributes:
        runtime: what ran the steps.
        frames: number of steps, for all streams of a batch.
        seconds: wall-clock time from the first step to the last.
        frames_per_second: of the network alone.
        whole_frames_per_second: with reading and drawing.
        median, p99, worst: milliseconds of a step.
        unevenness: the slowest step of a period over the mean; see `StreamStatistics.unevenness`.
        age_steps: age of the information in an output on its slowest path, in steps; see
            `Plan.ages`. Frames of a buffer wait for its last one. None if it is not known, as for
            SavedModels.
        age: the same in milliseconds, from the arrival of the frame to the output, as measured.
        rated_age: the same if frames came at `rate`; None if the network is too slow for that.
        rate: frames per second of a source that waits; None for others, or if it is not known.
        dropped: number of frames that a live source dropped; None for sources that wait.
        state_bytes: bytes that are kept between steps, for one stream.
        peak_bytes: the most memory that the process had resident.
    """

    runtime: str
    frames: int
    seconds: float
    frames_per_second: float
    whole_frames_per_second: float
    median: float
    p99: float
    worst: float
    unevenness: float | None
    age_steps: Spread | None
    age: Spread | None
    rated_age: Spread | None
    rate: float | None
    dropped: int | None
    state_bytes: int
    peak_bytes: int

    @classmethod
    def of(
        cls, stream: TimedStream, rate: float | None = None, dropped: int | None = None
    ) -> "StreamReport":
        """Return the report of a stream that has run at least one step.

        Args:
            stream: the stream.
            rate, dropped: as in the attributes.
        """
        statistics = stream.statistics
        median, p99, worst = (statistics.percentile(p) for p in (50, 99, 100))
        steps = Spread.of(stream.ages)
        return cls(
            runtime=stream.runtime,
            frames=stream.streams * statistics.frames,
            seconds=statistics.seconds,
            frames_per_second=stream.streams * statistics.frames_per_second,
            whole_frames_per_second=stream.streams * statistics.frames / statistics.seconds,
            median=median,
            p99=p99,
            worst=worst,
            unevenness=statistics.unevenness(stream.period),
            age_steps=steps,
            age=Spread.of(statistics.ages, 1000),
            rated_age=_rated(stream, rate),
            rate=rate,
            dropped=dropped,
            state_bytes=stream.state_bytes,
            peak_bytes=peak_memory(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as plain data."""
        values = dataclasses.asdict(self)
        return {k: v._asdict() if isinstance(v, Spread) else v for k, v in values.items()}

    def __str__(self) -> str:
        lines = [
            f"{self.frames} frames in {self.seconds:.1f} s "
            f"({self.whole_frames_per_second:.1f} frames/s with reading and drawing)",
            f"network: {self.frames_per_second:.1f} frames/s ({self.runtime})",
            f"latency per step in ms: median {self.median:.1f}, 99 % {self.p99:.1f}, worst "
            f"{self.worst:.1f}",
        ]
        if self.age_steps is not None:
            lines.append(f"age of information: {self._ages()}")
        if self.dropped is not None:
            lines.append(
                f"dropped {self.dropped} frames that arrived faster than the network could run"
            )
        lines.append(
            f"memory: at most {self.peak_bytes / 2**20:.0f} MiB in this process, "
            f"{self.state_bytes / 1e6:.2f} MB kept between steps"
        )
        return "\n".join([*lines, f"machine: {machine_text()}; {versions_text()}"])

    def _ages(self) -> str:
        """Return the ages in words. Means and worst values are of the steps of a period."""
        times = {
            "steps": self.age_steps,
            "ms": self.age,
            "ms at {rate:.4g} frames/s": self.rated_age,
        }
        return "; ".join(
            f"mean {age.mean:.4g}, worst {age.worst:.4g} {unit.format(rate=self.rate)}"
            for unit, age in times.items()
            if age is not None
        )


def _rated(stream: TimedStream, rate: float | None) -> Spread | None:
    """Return the age in milliseconds if frames came at `rate`; None if that is too fast."""
    steps, statistics = Spread.of(stream.oldest), stream.statistics
    responses = rate and rate <= statistics.frames_per_second and statistics.responses(rate)
    late = responses and Spread.of(responses, 1000)
    if not (rate and late and steps):
        return None
    return Spread(1000 * steps.mean / rate + late.mean, 1000 * steps.worst / rate + late.worst)
