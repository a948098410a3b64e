"""Videos as clips on which int8 is calibrated: shown to the network as `predict` shows them."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from mpvn.data.sets.finding import Finder
from mpvn.data.video.endings import is_image
from mpvn.prediction.models import Model, NetworkModel, open_model
from mpvn.prediction.opened import OpenStream, is_file

MOST_FRAMES = 512
"""Frames that are read of a video, at most."""

Path = str | os.PathLike[str]


class VideoClips(Sequence[np.ndarray]):
    """The beginnings of videos, read whenever they are asked for.

    Args:
        model: the network.
        sources: video files, and folders of images.

    Raises:
        ValueError: a source cannot be read again and again.
    """

    def __init__(self, model: NetworkModel, sources: Sequence[Path]) -> None:
        self.model = model
        self._sources = sources
        for source in sources:
            if not is_file(source):
                raise ValueError(
                    "Invalid calibration. Expected files of videos or folders of images, because "
                    f"they are read several times. Received: {source}. Record it as a file."
                )

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index: Any) -> Any:
        return self.beginning(index, MOST_FRAMES)

    def beginning(self, index: int, steps: int) -> np.ndarray:
        """Return the first frames of a video as the network takes them, `[T, ...]`."""
        with OpenStream(self.model, self._sources[index]) as opened:
            frames = [view.frame for view in itertools.islice(opened.views(), steps)]
        size = self.model.size
        clip = np.stack(frames) if frames else np.zeros((0, *size, 3))
        return np.asarray(self.model.prepare(clip), np.float32)


def calibration_clips(
    network: "Model | keras.Model | Path", sources: Path | Iterable[Path]
) -> VideoClips:
    """Return videos as `calibration` of `VideoNetwork.compile_inference`.

    Frames are cropped, scaled and brought to a rate as in `predict`, by the network's metadata.

    Args:
        network: as in `predict`, but no exported SavedModel.
        sources: a video file, a folder of images, a folder that is searched for videos; or several.

    Raises:
        ValueError: there are no videos, or the network is exported.

    Example:
        >>> clips = mpvn.calibration_clips(network, "videos")
        >>> compiled = network.compile_inference("openvino", "int8", calibration=clips)
    """
    model = open_model(network)
    if not isinstance(model, NetworkModel):
        raise ValueError(
            f"{model.name}: a SavedModel runs in its own precision. Expected a network. Use the "
            ".keras file or the run that it was exported from."
        )
    given = [sources] if isinstance(sources, (str, os.PathLike)) else [*sources]
    return VideoClips(model, [path for source in given for path in _videos(source)])


def calibrated(model: Model, sources: Path | Iterable[Path]) -> Model:
    """Calibrate what will run the streams of a model.

    Args:
        model: the model, before its first stream.
        sources: as in `calibration_clips`.

    Returns:
        The model.
    """
    clips = calibration_clips(model, sources)
    clips.model.choice = dataclasses.replace(clips.model.choice, calibration=clips)
    return model


def _videos(source: Path) -> list[Path]:
    folder = pathlib.Path(source)
    if not folder.is_dir():
        return [source]
    finder = Finder()
    videos = finder.videos_in(folder)
    has_images = any(path.parent == folder and is_image(path.name) for path in finder.passed_over)
    if not videos and not has_images:
        raise ValueError(
            f"Invalid calibration. Expected videos in {folder}. Received: a folder without any."
        )
    return [*videos] or [source]
