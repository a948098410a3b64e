"""Future frame: what will be seen some frames later (*Skip-Sideways*: 8 frames)."""

from typing import Any

from mpvn.tasks.autoencoding import Autoencoding
from mpvn.tasks.task import check_count


class FutureFrame(Autoencoding):
    """The frame that comes `ahead` frames after each, from outputs of the shape of the frames.

    Targets are frames `[B, T, H, W, C]`; the last steps of a clip have none. Metrics: `mse` and
    `psnr`.

    Args:
        ahead: how many frames later, at least 1.
        **kwargs: as `Task`.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(self, ahead: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("ahead", ahead, 1)
        self.ahead = ahead
