"""What an engine counts. A subclass may pass it on, for example to Prometheus."""

import collections
from collections.abc import Sequence


class Statistics:
    """Counts of an engine. Its lock guards them; reading single numbers is safe without.

    Attributes:
        answered: number of frames that were answered.
        dropped: number of frames that the network has not seen, by reason.
        failed: number of frames whose step failed.
        batches: number of batches, by their number of streams.
        computing: seconds of all batches.
        waiting: seconds that answered frames waited, altogether.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.dropped: collections.Counter[str] = collections.Counter()
        self.failed = 0
        self.batches: collections.Counter[int] = collections.Counter()
        self.computing = 0.0
        self.waiting = 0.0

    def add_batch(self, waits: Sequence[float], seconds: float) -> None:
        """Count a batch.

        Args:
            waits: seconds that each frame waited.
            seconds: how long the step took.
        """
        self.answered += len(waits)
        self.batches[len(waits)] += 1
        self.computing += seconds
        self.waiting += sum(waits)

    def add_dropped(self, reason: str) -> None:
        """Count a frame that the network does not see."""
        self.dropped[reason] += 1

    def add_failed(self, frames: int) -> None:
        """Count the frames of a step that failed."""
        self.failed += frames
