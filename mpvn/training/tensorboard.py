"""TensorBoard logs of a run: curves, pictures of a clip, the plan.

Event files can only be appended to, but a killed run resumes from an earlier step. So every start
of a run writes the events again from the rows of the run folder, and curves never go back in time.
Pictures of earlier steps are lost then.
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
    """Writer of the folder `tensorboard/` of a run, and a context manager.

    Args:
        folder: the run folder, without rows of steps that the run will write again.
    """

    def __init__(self, folder: RunFolder) -> None:
        path = folder.path / "tensorboard"
        if path.exists():
            shutil.rmtree(path)
        self._writer = tf.summary.create_file_writer(str(path))
        for row in folder.rows():
            self.scalars(row)

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()

    def scalars(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of a row of metrics, as `"train/loss"` or `"evaluation/pck_10"`."""
        with self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                if name not in ("step", "split") and math.isfinite(value):
                    tf.summary.scalar(f"{row['split']}/{name}", value)

    def clip(self, step: int, task: Task, frames: Any, outputs: Any, targets: Any) -> None:
        """Write an image with the outputs at a few steps of one clip, side by side.

        Args:
            step: number of batches trained.
            task: draws the pictures.
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
        """Write the plan of a network as text."""
        with self._writer.as_default(step=0):
            tf.summary.text("plan", f"```\n{network.plan}\n```")
