"""A trained network in use: what its run says about other videos.

Evaluation brings each video to the frame rate and the size of the config, and the task says which
answers of which steps count. Whoever uses the network elsewhere gets these here, so that its
answers are those of the evaluation.
"""

import dataclasses

from mpvn.network import VideoNetwork
from mpvn.tasks import Task
from mpvn.training.build.task import build_task
from mpvn.training.run_data import frame_stride
from mpvn.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Trained:
    """What the run of a network says.

    Attributes:
        fps: frames per second to which evaluation brings videos; None if they keep theirs.
        stride: distance of the frames that evaluation takes, in frames at that rate.
        shorter_side: shorter side to which it resizes their frames before it crops the center; None
            if it crops the largest part.
        trained_fps: frames per second of the training clips; None if they have no common rate.
        task: what the network predicts, with the names of the classes or joints.
    """

    fps: float | None
    stride: int
    shorter_side: int | None
    trained_fps: float | None
    task: Task

    @staticmethod
    def of(folder: RunFolder, network: VideoNetwork) -> "Trained | None":
        """Return what a run says about its network; None if it has no `data.json`.

        Args:
            folder: the run.
            network: its network, also under another plan.

        Raises:
            ValueError: a file of the run is damaged.
        """
        data, config = folder.data, folder.config()
        if data is None:
            return None
        stride = frame_stride(config.clip)
        rate = data.fps / stride if data.fps and stride else None
        task = build_task(config, data.names, network)
        return Trained(config.clip.fps, stride or 1, config.clip.shorter_side, rate, task)
