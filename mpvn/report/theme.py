"""Fonts and colors of the figures: one style sheet for light and dark pages, and two palettes.

Kept apart from drawing so that figures name what a mark is (`"soft"`, `"accent"`) and the choice of
colors stands in one place.
"""

import numpy as np

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

# class: (property, on light, on dark). No CSS variables: not every SVG viewer knows them.
_CLASSES = {
    "ink": ("fill", "#1b2026", "#e8ebef"),
    "soft": ("fill", "#59636e", "#a3adb8"),
    "rule": ("stroke", "#d3d9df", "#39424c"),
    "mark": ("stroke", "#59636e", "#a3adb8"),
    "card": ("fill", "#eff2f5", "#20272e"),
    "accent": ("fill", "#165c9f", "#6db4f2"),
    # Text on the accent, at more than half and at nearly all of its strength.
    "on-half": ("fill", "#1b2026", "#0d141b"),
    "on-full": ("fill", "#ffffff", "#0d141b"),
}

# Okabe and Ito's colors, told apart by color-blind readers, each with whichever of near-black and
# white has the higher contrast on it. Seven of them, so that frames two, four, eight or sixteen
# apart differ in color.
_CATEGORIES = (
    ("#0072b2", "#ffffff"),
    ("#e69f00", "#11161b"),
    ("#009e73", "#11161b"),
    ("#cc79a7", "#11161b"),
    ("#d55e00", "#11161b"),
    ("#56b4e9", "#11161b"),
    ("#e3d53b", "#11161b"),
)
# Fast to slow clocks: dark blue to yellow, told apart by lightness alone.
_RAMP = ("#3f5fa8", "#2c92a6", "#4bb58d", "#a6c957", "#f0c64a")


def style_sheet() -> str:
    """The style of every figure: its classes for light, then for dark pages."""
    light = "".join(f".mpvn .{c}{{{prop}:{value}}}" for c, (prop, value, _) in _CLASSES.items())
    dark = "".join(f".mpvn .{c}{{{prop}:{value}}}" for c, (prop, _, value) in _CLASSES.items())
    return (
        f".mpvn{{color:#1b2026;font-family:{_FONT};font-variant-numeric:tabular-nums}}{light}"
        f"@media (prefers-color-scheme:dark){{.mpvn{{color:#e8ebef}}{dark}}}"
    )


def category(number: int) -> tuple[str, str]:
    """A color for the `number`th of things without order, and the color of text on it."""
    return _CATEGORIES[number % len(_CATEGORIES)]


def ramp(count: int) -> list[str]:
    """`count` colors for things in order, from dark to light."""
    stops = np.array([list(bytes.fromhex(color[1:])) for color in _RAMP])
    at = np.linspace(0, len(_RAMP) - 1, count)
    mixed = [np.interp(at, range(len(_RAMP)), channel).round() for channel in stops.T]
    return ["#" + bytes(map(int, color)).hex() for color in zip(*mixed, strict=True)]
