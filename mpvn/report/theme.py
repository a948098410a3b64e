"""Fonts and colors of the figures: one style sheet for light and dark pages, and two palettes.

The drawing code names the role of a mark (`"soft"`, `"ink"`), and this file chooses the colors.
"""

import numpy as np

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

# class: (property, color on light pages, color on dark pages). No CSS variables: some SVG viewers
# do not support them.
_CLASSES = {
    "ink": ("fill", "#1b2026", "#e8ebef"),
    "soft": ("fill", "#59636e", "#a3adb8"),
    "rule": ("stroke", "#d3d9df", "#39424c"),
    "mark": ("stroke", "#59636e", "#a3adb8"),
    "card": ("fill", "#eff2f5", "#20272e"),
    "on-full": ("fill", "#ffffff", "#0d141b"),  # Text on "ink".
}

# The colors of Okabe and Ito, which color-blind readers can tell apart, each with near-black or
# white for text on it, whichever has more contrast. There are seven, so that frames that are two,
# four, eight or sixteen apart differ in color.
_CATEGORIES = (
    ("#0072b2", "#ffffff"),
    ("#e69f00", "#11161b"),
    ("#009e73", "#11161b"),
    ("#cc79a7", "#11161b"),
    ("#d55e00", "#11161b"),
    ("#56b4e9", "#11161b"),
    ("#e3d53b", "#11161b"),
)
COLORS = len(_CATEGORIES)
"""Number of categories with colors of their own."""

# Dark blue to yellow: the colors differ in lightness.
_RAMP = ("#3f5fa8", "#2c92a6", "#4bb58d", "#a6c957", "#f0c64a")


def style_sheet() -> str:
    """Return the style sheet of a figure: its classes for light pages, then for dark pages."""
    light = "".join(f".mpvn .{c}{{{prop}:{value}}}" for c, (prop, value, _) in _CLASSES.items())
    dark = "".join(f".mpvn .{c}{{{prop}:{value}}}" for c, (prop, _, value) in _CLASSES.items())
    return (
        f".mpvn{{color:#1b2026;font-family:{_FONT};font-variant-numeric:tabular-nums}}{light}"
        f"@media (prefers-color-scheme:dark){{.mpvn{{color:#e8ebef}}{dark}}}"
    )


def category(index: int) -> tuple[str, str]:
    """Return the color of an unordered category, and the color of text on it."""
    return _CATEGORIES[index % len(_CATEGORIES)]


def ramp(count: int) -> list[str]:
    """Return `count` ordered colors, from dark to light."""
    stops = np.array([list(bytes.fromhex(color[1:])) for color in _RAMP])
    positions = np.linspace(0, len(_RAMP) - 1, count)
    channels = [np.interp(positions, range(len(_RAMP)), stop).round() for stop in stops.T]
    return ["#" + bytes(map(int, color)).hex() for color in zip(*channels, strict=True)]
