"""Future frame: the target of a step is a later frame (*Skip-Sideways*: 8 frames later)."""

from typing import Any

from mpvn.tasks.autoencoding import Autoencoding
from mpvn.tasks.task import check_count


class FutureFrame(Autoencoding):
    """Predict the frame that follows `ahead` frames later, from outputs of the shape of the frames.

    Targets are frames `[B, T, H, W, C]`; the last steps of a clip have none. Metrics: `mse` and
    `psnr`.

    Args:
        ahead: number of frames between a frame and its target, at least 1.
        **kwargs: arguments of `Task`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, ahead: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("ahead", ahead, 1)
        self.ahead = ahead
