"""Draw what a network says about a frame over the original picture."""

from collections.abc import Sequence

import numpy as np

from mpvn.data import draw_text
from mpvn.prediction.predictor import Prediction
from mpvn.tasks import Task
from mpvn.tasks.overlay import Share, annotate, captions


def draw(
    task: Task | None,
    prediction: Prediction,
    lines: Sequence[str] = (),
    count: int = 3,
    threshold: float = 0.0,
) -> np.ndarray:
    """Return the original picture with the names, joints or outputs of a step over it.

    Outputs that are pictures, as those of auto-encoders, are beside the frame instead.

    Args:
        task: what the network predicts; None if it does not say.
        prediction: made with `pictures=True`.
        lines: text above.
        count: most names.
        threshold: leave out names of a lower probability.

    Returns:
        uint8 `[H, W, 3]`.
    """
    view = prediction.view
    if view is None:
        raise ValueError("Expected a prediction with a view. Received: none. Pass pictures=True")
    if task is None:
        return annotate(view, prediction.outputs, list(lines), prediction.names)
    if prediction.shares is None:
        return draw_text(task.over(view, prediction.outputs), lines)
    named = prediction.top(count, threshold) if prediction.counts else []
    return draw_text(draw_names(view.whole(), named), lines)


def draw_names(picture: np.ndarray, named: Sequence[tuple[str, float]]) -> np.ndarray:
    """Return a picture with names and their probabilities over it."""
    return captions(picture, [Share(name, share) for name, share in named])
