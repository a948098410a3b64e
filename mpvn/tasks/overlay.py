"""What a network says, drawn onto the frame it says it about: the parts of pictures.

Pictures are made of frames that are enlarged by whole factors, so that what is drawn on them is
legible however small they are.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mpvn.data import draw_text
from mpvn.data.sets.flow import flow_picture
from mpvn.pixels import to_uint8

SHORTEST = 448
"""Frames of `annotate` are enlarged until their shorter side has this many pixels."""

SHORTEST_OF_PICTURE = 224
"""The same of the pictures of tasks, of which several are seen side by side."""

# Pairs of the 17 joints of COCO: the trunk and head, then what is on the left, on the right.
COCO_LIMBS = (
    *((5, 6), (11, 12), (5, 11), (6, 12), (0, 1), (0, 2), (1, 3), (2, 4)),
    *((5, 7), (7, 9), (11, 13), (13, 15)),
    *((6, 8), (8, 10), (12, 14), (14, 16)),
)

_HEAT = (230, 40, 30)
_SAID = (64, 224, 255)
_TRUE = (255, 255, 255)
_GROUND, _INK, _SOFT = (24, 28, 34), (240, 243, 246), (84, 94, 106)
_RIGHT, _WRONG = (46, 150, 84), (196, 92, 40)


class Share(NamedTuple):
    """A row of `bars`: a name, a share between 0 and 1, and whether it is right, if that is known
    of it."""

    name: str
    share: float
    right: bool | None = None


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
    shown = enlarged(frame, SHORTEST)
    text, beside = list(lines), []
    for values in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
        if isinstance(values, dict):
            values = next(iter(values.values()))
        if values.ndim == 1:
            text.append(highest(values))
        elif values.shape == frame.shape:
            beside.append(enlarged(values, SHORTEST))
        elif values.ndim == 3:
            shown = lay_over(shown, spread(values.max(axis=-1)))
    return draw_text(np.concatenate([shown, *beside], axis=1), text)


def highest(scores: np.ndarray, count: int = 3) -> str:
    """The `count` highest of `scores [classes]`, as class numbers and scores."""
    best = np.argsort(scores)[::-1][:count]
    return "  ".join(f"class {index}: {scores[index]:.3g}" for index in best)


def spread(heat: np.ndarray) -> np.ndarray:
    """`heat [..., h, w]`, scaled from its least and greatest value to 0 and 1; zeros if they are
    the same."""
    low, high = float(heat.min()), float(heat.max())
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


# --- parts, all uint8 [H, W, 3] ---------------------------------------------------------------


def enlarged(frame: Any, shortest: int = SHORTEST_OF_PICTURE) -> np.ndarray:
    """A frame, uint8 or floats between -1 and 1, enlarged by a whole factor.

    Args:
        frame: `[H, W, 3]`, RGB; or of optical flow, `[H, W, 2 * stack]`, which is shown in colors.
        shortest: pixels that its shorter side has at least.

    Returns:
        uint8 `[H', W', 3]`.
    """
    pixels = np.asarray(frame)
    if pixels.dtype != np.uint8:
        pixels = to_uint8(pixels)
    if pixels.shape[-1] != 3:
        pixels = flow_picture(pixels)
    factor = -(-shortest // min(pixels.shape[:2]))
    height, width, _ = pixels.shape
    return np.asarray(Image.fromarray(pixels).resize((width * factor, height * factor)))


def lay_over(image: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """`strength [h, w]`, between 0 and 1, in red over `image`."""
    below = Image.fromarray(image)
    mask = Image.fromarray(np.uint8(200 * strength)).resize(below.size, Image.Resampling.BILINEAR)
    return np.asarray(Image.composite(Image.new("RGB", below.size, _HEAT), below, mask))


def draw_joints(image: np.ndarray, said: np.ndarray, true: np.ndarray | None) -> np.ndarray:
    """Joints in pixels of `image`: those a network says as dots, the true ones as rings.

    Args:
        image: uint8 `[H, W, 3]`.
        said: `[J, 3]`: x, y and how sure the network is, 0 to 1: dots are as opaque as that, a
            quarter at least. 17 joints are joined by `COCO_LIMBS`.
        true: `[J, 3]`: x, y and whether the joint is visible; None draws none.
    """
    shown = Image.fromarray(image)
    canvas = ImageDraw.Draw(shown, "RGBA")
    radius = min(shown.size) / 64
    for x, y, visible in () if true is None else true.tolist():
        if visible:
            canvas.circle((x, y), 1.6 * radius, None, _GROUND, width=3)
            canvas.circle((x, y), 1.6 * radius - 0.5, None, _TRUE, width=2)
    dots = [((x, y), round(64 + 191 * sure)) for x, y, sure in said.tolist()]
    for one, other in COCO_LIMBS if len(dots) == 17 else ():
        (start, opacity), (end, other_opacity) = dots[one], dots[other]
        fill = (*_SAID, min(opacity, other_opacity))
        canvas.line([start, end], fill, round(0.7 * radius))
    for place, opacity in dots:
        canvas.circle(place, radius, (*_SAID, opacity), (*_GROUND, opacity))
    return np.asarray(shown)


def bars(width: int, rows: Sequence[Share]) -> np.ndarray:
    """Names with bars as long as their shares, `width` pixels wide."""
    high = width // 10
    shown = Image.new("RGB", (width, high * len(rows)), _GROUND)
    canvas = ImageDraw.Draw(shown)
    font = ImageFont.load_default(0.62 * high)
    margin = high // 4
    for number, (name, share, right) in enumerate(rows):
        top, color = number * high, {None: _SOFT, True: _RIGHT, False: _WRONG}[right]
        canvas.rectangle((0, top + 1, share * width, top + high - 2), color)
        number_text = f"{100 * share:.0f} %"
        room = width - 3 * margin - font.getlength(number_text)
        while font.getlength(name) > room and len(name) > 1:
            name = name.rstrip("…")[:-1] + "…"
        middle = top + high / 2
        canvas.text((margin, middle), name, _INK, font, anchor="lm")
        canvas.text((width - margin, middle), number_text, _INK, font, anchor="rm")
    return np.asarray(shown)


def stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one size below one another, with a line between."""
    line = np.full_like(pictures[0][:2], 255)
    return np.concatenate([part for picture in pictures for part in (line, picture)][1:])
