"""What `mpvn stream` takes from the metadata of a network, and what it says about it."""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpvn.metadata import Metadata
    from mpvn.network import VideoNetwork
    from mpvn.tasks import Task

_SAME = 0.05  # difference of two rates, relative to one of them, that no network minds


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network in use: its answers are those of its evaluation.

    Attributes:
        metadata: what it knows.
        task: what it predicts, with the names of the classes or joints.
    """

    metadata: "Metadata"
    task: "Task"

    @staticmethod
    def of(network: "VideoNetwork") -> "Trained | None":
        """Return what a network knows; None if it does not say what it predicts.

        Raises:
            ValueError: its metadata do not fit it.
        """
        from mpvn.tasks.registry import create_task

        metadata = network.metadata
        if metadata is None or metadata.task is None:
            return None
        return Trained(metadata, create_task(metadata, network))

    @property
    def shown_fps(self) -> float | None:
        """The rate to which evaluation brings videos; None if they keep theirs."""
        return self.metadata.fps if self.metadata.resampled else None

    @property
    def stride(self) -> int:
        """The distance of the frames that evaluation takes, at the rate to which it brings them."""
        return 1 if self.shown_fps else self.metadata.stride

    def remarks_on_rate(self, model: str, video: str, shown: float | None) -> list[str]:
        """Return remarks on a frame rate that the user did not choose.

        Args:
            model: the model as given.
            video: the video as given.
            shown: frames per second at which the network is shown the video; None if not known.
        """
        rate = self.metadata.fps
        if self.shown_fps is not None:
            return [
                f"{model}: frames are shown at {self.shown_fps:g} per second, as in its training "
                "(--fps sets another rate)"
            ]
        remarks = []
        if self.stride > 1:
            remarks.append(
                f"{model}: one of {self.stride} frames is shown, as in its training (--fps sets "
                "another rate)"
            )
        if rate and shown and abs(shown / rate - 1) > _SAME:
            remarks.append(
                f"{model}: trained on clips of {rate:g} frames per second. {video} is shown at "
                f"{shown:g}, as in evaluation (--fps {rate:g} brings it to the rate of the clips)"
            )
        return remarks
