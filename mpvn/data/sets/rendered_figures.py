"""The rendered figures as a data set of `tensorflow_datasets`.

Building it renders the videos and stores them without loss; nothing is downloaded. Training with
this package does not need it: `mpvn.data.rendered_figures` renders the same videos on the fly.

    import mpvn.data.sets.rendered_figures  # Registers the data set.
    videos = tfds.load("rendered_figures/small", split="train")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from mpvn.data.rendered.figure_video import ACTIONS
from mpvn.data.rendered.figures import rendered_figures
from mpvn.data.skeletons import COCO_JOINTS


@dataclasses.dataclass(eq=False)
class RenderedFiguresConfig(tfds.core.BuilderConfig):
    """The arguments of `mpvn.data.rendered_figures`, except for `videos`.

    Attributes:
        videos: Number of videos of each split: "train", "validation" and "test".
    """

    seed: int = 0
    size: tuple[int, int] = (64, 64)
    frames: int = 32
    fps: float = 12.5
    objects: int = 0
    occlusion: bool = False
    cuts: bool = False
    videos: dict[str, int] = dataclasses.field(
        default_factory=lambda: {"train": 2000, "validation": 200, "test": 500}
    )


class RenderedFigures(tfds.core.GeneratorBasedBuilder):
    """Rendered videos of a moving figure, with its joints.

    An example contains
        video: uint8 `[frames, height, width, 3]`, RGB;
        label: int64, an index of `mpvn.data.rendered.figure_video.ACTIONS`;
        joints: float32 `[frames, 17, 3]`, the joints of COCO: x and y in pixels from the top left
            corner, and 1 if the joint is visible, else 0;
        fps: float32, frames per second.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Ten actions."}
    BUILDER_CONFIGS = [
        RenderedFiguresConfig(name="small", description="64 by 64 pixels."),
        RenderedFiguresConfig(name="large", description="224 by 224 pixels.", size=(224, 224)),
    ]

    def _info(self) -> Any:
        config = self.builder_config
        return tfds.core.DatasetInfo(
            builder=self,
            description="Rendered videos of a figure that moves in front of a moving texture, with "
            "17 joints and ten actions: five pairs of an action and its reversal.",
            features=tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Video(shape=(config.frames, *config.size, 3)),
                    "label": tfds.features.ClassLabel(names=list(ACTIONS)),
                    "joints": tfds.features.Tensor(
                        shape=(config.frames, len(COCO_JOINTS), 3), dtype=np.float32
                    ),
                    "fps": tfds.features.Scalar(dtype=np.float32),
                }
            ),
            supervised_keys=("video", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # There is nothing to download.
        return {split: self._generate_examples(split) for split in self.builder_config.videos}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config
        videos = rendered_figures(
            config.videos[split],
            seed=config.seed,
            size=config.size,
            frames=config.frames,
            fps=config.fps,
            objects=config.objects,
            occlusion=config.occlusion,
            cuts=config.cuts,
            split=split,
        ).videos
        for index, video in enumerate(videos):
            frames = range(len(video.timeline))
            yield (
                index,
                {
                    "video": video.read(frames),
                    "label": video.label,
                    "joints": np.asarray(video.joints(frames))[:, 0],
                    "fps": float(video.timeline.rate),
                },
            )
