"""What a network says, drawn onto the frame it says it about."""

from typing import Any

import numpy as np
from PIL import Image

from mpvn.data import draw_text

SHORTEST = 448
"""Frames are enlarged until their shorter side has this many pixels, so that text is legible."""


def annotate(frame: np.ndarray, outputs: Any, lines: list[str]) -> np.ndarray:
    """`frame` enlarged, with `lines` of text and the outputs of its step.

    Args:
        frame: uint8 `[H, W, 3]`.
        outputs: arrays without batch axis: a vector is written as its three highest scores; a
            picture of the frame's own shape, between -1 and 1, is set beside it; another map
            `[h, w, k]` is laid over it as the maximum over its channels; others are left out.
        lines: text above the outputs.

    Returns:
        uint8 `[H', W', 3]`.
    """
    factor = max(1, -(-SHORTEST // min(frame.shape[:2])))
    shown = Image.fromarray(frame).resize((frame.shape[1] * factor, frame.shape[0] * factor))
    text, beside = list(lines), []
    for values in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
        if isinstance(values, dict):
            values = next(iter(values.values()))
        if values.ndim == 1:
            text.append(highest(values))
        elif values.shape == frame.shape:
            beside.append(_picture(values, shown.size))
        elif values.ndim == 3:
            shown = _lay_over(shown, values.max(axis=-1))
    return draw_text(np.concatenate([np.asarray(shown), *beside], axis=1), text)


def highest(scores: np.ndarray, count: int = 3) -> str:
    """The `count` highest of `scores [classes]`, as class numbers and scores."""
    best = np.argsort(scores)[::-1][:count]
    return "  ".join(f"class {index}: {scores[index]:.3g}" for index in best)


def _picture(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`values` between -1 and 1 as an image of `size`, width before height."""
    pixels = np.uint8(np.clip(127.5 * (values.astype(np.float32) + 1), 0, 255))
    return np.asarray(Image.fromarray(pixels).resize(size))


def _lay_over(image: Image.Image, heat: np.ndarray) -> Image.Image:
    """`heat [h, w]`, scaled from its least to its greatest value, in red over `image`."""
    low, high = float(heat.min()), float(heat.max())
    strength = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    mask = Image.fromarray(np.uint8(200 * strength)).resize(image.size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", image.size, (230, 40, 30)), image, mask)
