"""Draws outputs onto frames: the parts of pictures.

Frames are enlarged by integer factors, so that drawings on small frames are legible.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mpvn.data import draw_text
from mpvn.data.sets.flow import flow_picture
from mpvn.data.skeletons import COCO_JOINTS
from mpvn.data.video.frames import View
from mpvn.data.video.framing import Placement
from mpvn.pixels import to_uint8

SHORTEST = 448
"""Smallest length in pixels of the shorter side of pictures that `annotate` puts side by side."""

SHORTEST_OF_PICTURE = 224
"""The same for pictures of tasks, which are shown side by side."""

# Pairs of the 17 COCO joints: trunk and head, left side, right side.
COCO_LIMBS = (
    *((5, 6), (11, 12), (5, 11), (6, 12), (0, 1), (0, 2), (1, 3), (2, 4)),
    *((5, 7), (7, 9), (11, 13), (13, 15)),
    *((6, 8), (8, 10), (12, 14), (14, 16)),
)

_LOWEST = 10  # pixels of a caption that can be read
_HEAT = (230, 40, 30)
_PREDICTED = (64, 224, 255)
_TRUE = (255, 255, 255)
_GROUND, _INK, _SOFT = (24, 28, 34), (240, 243, 246), (84, 94, 106)
_RIGHT, _WRONG = (46, 150, 84), (196, 92, 40)


class Share(NamedTuple):
    """A row of `bars`: a name, a share between 0 and 1, and correctness (None: unknown)."""

    name: str
    share: float
    correct: bool | None = None


def annotate(
    view: View, outputs: Any, lines: Sequence[str], names: Sequence[str] = ()
) -> np.ndarray:
    """Draw lines of text, and the outputs of a step of any network, over the original picture.

    Args:
        view: the frame, and the picture that it is a part of.
        outputs: arrays without batch axis. A vector is written as its three highest scores. A map
            `[h, w, k]` is drawn over the part that the network was shown, as the maximum over its
            channels. If an output is a picture of the shape of the frame, between -1 and 1, it is
            placed beside the frame, both enlarged, instead. Others are skipped.
        lines: text above the outputs.
        names: names of the numbers of a vector, if there is only one; by default, their positions.

    Returns:
        uint8 `[H', W', 3]`.
    """
    values = keras.tree.flatten(outputs)
    text = [*lines, *(highest(each, names) for each in values if each.ndim == 1)]
    beside = [enlarged(each, SHORTEST) for each in values if each.shape == view.frame.shape]
    shown = enlarged(view.frame, SHORTEST) if beside else view.whole()
    for each in values:
        if each.ndim == 3 and each.shape != view.frame.shape:
            heat = spread(each.max(axis=-1))
            shown = lay_over(shown, heat) if beside else lay_over_part(shown, heat, view.part)
    return draw_text(np.concatenate([shown, *beside], axis=1), text)


def highest(scores: np.ndarray, names: Sequence[str] = (), count: int = 3) -> str:
    """Format the `count` highest of `scores` `[classes]`, with their names or positions."""
    best = np.argsort(scores)[::-1][:count].tolist()
    named = dict(enumerate(names)) if len(names) == len(scores) else {}
    return "  ".join(f"{named.get(n, f'output {n}')}: {scores[n]:.3g}" for n in best)


def spread(heat: np.ndarray) -> np.ndarray:
    """Scale `heat` `[..., h, w]` so that its values span 0 to 1; a constant map becomes zeros."""
    low, high = float(heat.min()), float(heat.max())
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


# --- parts of pictures, all uint8 [H, W, 3] ------------------------------------------------


def enlarged(frame: Any, shortest: int = SHORTEST_OF_PICTURE) -> np.ndarray:
    """Enlarge a frame by an integer factor.

    Args:
        frame: `[H, W, 3]`, RGB, or optical flow `[H, W, 2 * stack]`, which is drawn in colors;
            uint8, or floats between -1 and 1.
        shortest: smallest length in pixels of the shorter side.

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
    """Draw `strength` `[h, w]`, between 0 and 1, in red over `image`."""
    below = Image.fromarray(image)
    mask = Image.fromarray(np.uint8(200 * strength)).resize(below.size, Image.Resampling.BILINEAR)
    return np.asarray(Image.composite(Image.new("RGB", below.size, _HEAT), below, mask))


def lay_over_part(image: np.ndarray, strength: np.ndarray, part: Placement) -> np.ndarray:
    """Draw `strength`, as in `lay_over`, over the part of `image` that a network was shown."""
    shown = image.copy()
    rows = slice(part.top, part.top + part.height)
    columns = slice(part.left, part.left + part.width)
    shown[rows, columns] = lay_over(np.ascontiguousarray(image[rows, columns]), strength)
    return shown


def limbs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of joints that a line connects: `COCO_LIMBS`, found by their names."""
    numbers = {name: number for number, name in enumerate(names)}
    pairs = [(COCO_JOINTS[one], COCO_JOINTS[other]) for one, other in COCO_LIMBS]
    return [(numbers[one], numbers[other]) for one, other in pairs if {one, other} <= {*numbers}]


def draw_joints(
    image: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray | None,
    limbs: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """Draw joints, in pixels of `image`: predicted joints as dots, true joints as rings.

    Args:
        image: uint8 `[H, W, 3]`.
        predicted: `[people, J, 3]`: x, y, and confidence from 0 to 1, drawn as opacity (at least a
            quarter; 0 is not drawn).
        true: `[people, J, 3]`: x, y, and visibility; None draws none.
        limbs: pairs of predicted joints of a person that a line connects.

    Returns:
        uint8 `[H, W, 3]`.
    """
    shown = Image.fromarray(image)
    canvas = ImageDraw.Draw(shown, "RGBA")
    radius = min(shown.size) / 64
    for x, y, visible in () if true is None else true.reshape(-1, 3).tolist():
        if visible:
            canvas.circle((x, y), 1.6 * radius, None, _GROUND, width=3)
            canvas.circle((x, y), 1.6 * radius - 0.5, None, _TRUE, width=2)
    for person in predicted.tolist():
        _draw_person(canvas, person, limbs, radius)
    return np.asarray(shown)


def _draw_person(
    canvas: ImageDraw.ImageDraw,
    joints: list[list[float]],
    limbs: Sequence[tuple[int, int]],
    radius: float,
) -> None:
    dots = [((x, y), round(64 + 191 * height) if height else 0) for x, y, height in joints]
    for one, other in limbs:
        (start, opacity), (end, other_opacity) = dots[one], dots[other]
        fill = (*_PREDICTED, min(opacity, other_opacity))
        canvas.line([start, end], fill, round(0.7 * radius))
    for place, opacity in dots:
        canvas.circle(place, radius, (*_PREDICTED, opacity), (*_GROUND, opacity))


def captions(image: np.ndarray, rows: Sequence[Share]) -> np.ndarray:
    """Draw `bars` over the lower left part of an image, as many as fit into its half.

    Args:
        image: uint8 `[H, W, 3]`.
        rows: the bars, from top to bottom.

    Returns:
        uint8 `[H, W, 3]`.
    """
    shown = image.copy()
    height, width, _ = image.shape
    high = min(height, max(_LOWEST, min(height, width) // 16))
    fitting = rows[: max(1, height // (2 * high))]
    if fitting:
        drawn = bars(min(width, 18 * high), fitting, high)
        below = shown[-len(drawn) :, : drawn.shape[1]]
        below[:] = (3 * drawn.astype(np.uint16) + below) // 4
    return shown


def bars(width: int, rows: Sequence[Share], high: int | None = None) -> np.ndarray:
    """Draw names on bars as long as their shares, in a picture `width` pixels wide.

    Args:
        width: the width.
        rows: the bars, from top to bottom.
        high: height of a bar in pixels; by default, a tenth of the width.
    """
    high = high or width // 10
    shown = Image.new("RGB", (width, high * len(rows)), _GROUND)
    canvas = ImageDraw.Draw(shown)
    font = ImageFont.load_default(0.62 * high)
    margin = high // 4
    for number, (name, share, correct) in enumerate(rows):
        top, color = number * high, {None: _SOFT, True: _RIGHT, False: _WRONG}[correct]
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
    """Stack pictures of one size vertically, with a line between."""
    line = np.full_like(pictures[0][:2], 255)
    return np.concatenate([part for picture in pictures for part in (line, picture)][1:])
