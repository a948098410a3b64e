"""Mirror images of classes, by their names: swapped where that is sure, and otherwise unknown.

Classes SwipeLeft and SwipeRight were not seen as mirror images, so flips kept their labels.
"""

import pytest

from mpvn.data.sets.mirror import mirrored_labels
from mpvn.data.video_set import NO_MIRROR

NONE = NO_MIRROR


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("left", "right"), (1, 0)),
        (("swipe_left", "swipe_right", "up"), (1, 0, 2)),
        (("SwipeLeft", "SwipeRight"), (1, 0)),
        (("swipeleft", "SWIPERIGHT"), (1, 0)),
        (("swipe-left", "Swipe Right"), (1, 0)),
        (("Turning CLOCKWISE", "Turning COUNTERCLOCKWISE"), (1, 0)),
        (("counter-clockwise", "clockwise"), (1, 0)),
        (("turnAntiClockwise", "turn_clockwise"), (1, 0)),
        (("left_to_right", "right_to_left", "left"), (1, 0, NONE)),
        (("TurnLeft2", "TurnRight2", "leftward", "rightward"), (1, 0, 3, 2)),
        (("upleft", "upright"), (1, 0)),
    ],
)
def test_english_sides_are_swapped(classes: tuple[str, ...], expected: tuple[int, ...]) -> None:
    assert mirrored_labels(classes) == expected


@pytest.mark.parametrize(
    "classes",
    [
        ("upright", "bright", "cleft"),
        ("PlayingPiano", "PlayingGuitar", "TaiChi"),
        ("hop on one leg", "put it up"),
        ("7_walk", "8_run"),
        ("thank you", "don\u2019t know"),
    ],
)
def test_other_words_are_their_own_mirror_images(classes: tuple[str, ...]) -> None:
    assert mirrored_labels(classes) is None


@pytest.mark.parametrize(
    "sides",
    [
        ("turn left", "turn straight right"),  # no counterpart
        ("SwipeLeft", "swipe_left", "swipe right"),  # two counterparts
        ("turn_l", "turn_r"),
        ("turnL", "turnR"),
        ("LHand", "RHand"),
        ("lhand", "rhand"),
        ("turn cw", "turn ccw"),
        ("links abbiegen", "rechts abbiegen"),
        ("tourner a gauche", "tourner a droite"),
        ("giroIzquierda", "giroDerecha"),
        ("sinistra", "destra"),
        ("virar esquerda", "virar direita"),
        ("hidari", "migi"),
        ("zuo", "you"),
        ("\u5de6", "\u53f3"),
        ("\u043d\u0430\u043b\u0435\u0432\u043e", "\u043d\u0430\u043f\u0440\u0430\u0432\u043e"),
        ("h\u00f6ger", "v\u00e4nster"),
        ("0", "1"),
        ("c7", "c12"),
        ("L", "R", "A"),
        ("wave 1", "wave 2"),
        ("walk", "walk 2"),
    ],
)
def test_sides_that_cannot_be_known_are_never_mirrored(sides: tuple[str, ...]) -> None:
    expected = (*(NONE,) * len(sides), len(sides))
    assert mirrored_labels((*sides, "jump")) == expected


def test_the_user_may_say_what_names_do_not() -> None:
    assert mirrored_labels(("0", "1"), "same") is None
    assert mirrored_labels(("jump", "wave"), "never") == (NONE, NONE)
