"""Draw text onto frames."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mpvn.data.video.frames import Frame


def draw_text(frame: Frame, lines: Sequence[str]) -> Frame:
    """Return a copy of a frame with lines of text on a dark background, at the top left.

    The letters are about 1/20 of the frame's height, or smaller if a line would not fit its width.

    Args:
        frame: `uint8 [height, width, 3]`, RGB. It is not changed.
        lines: The text, from top to bottom. If empty, the copy is plain.
    """
    if not lines:
        return frame.copy()
    height, width, _ = frame.shape
    text = "\n".join(lines)
    image = Image.fromarray(frame)
    canvas = ImageDraw.Draw(image, "RGBA")
    letter = max(10.0, height / 20)
    margin = letter / 2
    # Measure once: the width of the text is nearly proportional to the size of its letters.
    left, top, right, bottom = canvas.multiline_textbbox(
        (margin, margin), text, ImageFont.load_default(letter)
    )
    letter = max(6.0, letter * min(1.0, (width - 3 * margin) / max(1.0, right - left)))
    font = ImageFont.load_default(letter)
    left, top, right, bottom = canvas.multiline_textbbox((margin, margin), text, font)
    pad = letter / 3
    box = (left - pad, top - pad, right + pad, bottom + pad)
    canvas.rounded_rectangle(box, radius=pad, fill=(16, 18, 24, 176))
    canvas.multiline_text((margin, margin), text, fill=(255, 255, 255, 255), font=font)
    return np.array(image, dtype=np.uint8)
