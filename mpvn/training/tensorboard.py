"""A run for TensorBoard: curves, pictures of a clip, the plan.

Files of events can only be added to, and a run that was killed goes on from before its last ones.
So who begins a run, or goes on with one, begins them anew, from the rows that the run has kept:
curves never go back in time. Pictures of earlier steps are gone then.
"""

import math
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mpvn.network import VideoNetwork
from mpvn.tasks import Task
from mpvn.training.run_folder import RunFolder


class TensorBoard:
    """Writes `tensorboard/` in the folder of a run; to be closed, or used in a `with`.

    Args:
        folder: of the run; it has no rows that the run will write again.
    """

    def __init__(self, folder: RunFolder) -> None:
        place = folder.path / "tensorboard"
        if place.exists():
            shutil.rmtree(place)
        self._writer = tf.summary.create_file_writer(str(place))
        for row in folder.rows():
            self.scalars(row)

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()

    def scalars(self, row: Mapping[str, Any]) -> None:
        """The numbers of a row of metrics, as `"train/loss"` or `"evaluation/pck_10"`."""
        with self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                if name not in ("step", "split") and math.isfinite(value):
                    tf.summary.scalar(f"{row['split']}/{name}", value)

    def clip(self, step: int, task: Task, frames: Any, outputs: Any, targets: Any) -> None:
        """A strip of what the network says at some steps of one clip, as an image.

        Args:
            step: batches that the network has been trained on.
            task: which draws.
            frames: `[T, H, W, C]`.
            outputs: `[T, ...]`.
            targets: `[T, ...]`.
        """
        pictures = task.pictures(frames, outputs, targets)
        strip = np.concatenate(list(pictures.values()), axis=1)
        words = f"Steps {', '.join(map(str, pictures))}. {task.legend}"
        with self._writer.as_default(step=step):
            tf.summary.image("clip", strip[None], description=words)

    def plan(self, network: VideoNetwork) -> None:
        """The plan of a network, as text."""
        with self._writer.as_default(step=0):
            tf.summary.text("plan", f"```\n{network.plan}\n```")
