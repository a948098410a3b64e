"""What is shown to a network that is measured: the frames of a video, or noise."""

import argparse
import itertools
from typing import TYPE_CHECKING

from mpvn.cli.clusters import named_cluster
from mpvn.cli.devices import named_devices
from mpvn.cli.mistakes import Mistake
from mpvn.cli.startup import import_tensorflow

if TYPE_CHECKING:
    import numpy as np

    from mpvn.models.loading import LoadedModel

FRAMES = 64
"""Number of different frames that are shown, at most: they are in memory, so that none is read."""

_SYNTHETIC = 16


def add_shown_option(parser: argparse.ArgumentParser) -> None:
    """Add `--video`."""
    parser.add_argument(
        "--video",
        metavar="FILE",
        help=f"show the first {FRAMES} frames of a video (default: noise in the range of the "
        "network's input)",
    )


def refuse_exported(arguments: argparse.Namespace) -> None:
    """Raise `Mistake` if the model cannot be compiled. Starts TensorFlow with its threads."""
    import_tensorflow(arguments.threads, named_devices(arguments), cluster=named_cluster(arguments))
    from mpvn.prediction.models import is_exported

    if is_exported(arguments.model):
        raise Mistake(
            f"{arguments.model}: expected a model that is compiled here. Received: a "
            "SavedModel, which runs as it is. Measure it by mpvn stream."
        )


def shown_frames(video: str | None, loaded: "LoadedModel", streams: int = 1) -> "list[np.ndarray]":
    """Return batches of frames as the network takes them, `[streams, H, W, 3]`."""
    import numpy as np

    from mpvn.data import VideoReader
    from mpvn.streaming.benchmark import batches

    size = loaded.size
    if video is None:
        shape = (_SYNTHETIC, *size, 3)
        pixels = [*np.random.default_rng(0).integers(0, 256, shape, np.uint8)]
    else:
        with VideoReader(video, size) as reader:
            pixels = list(itertools.islice(reader, FRAMES))
    return batches(map(loaded.prepare, pixels), streams)
