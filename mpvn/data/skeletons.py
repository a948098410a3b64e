"""Names of joints: those of known skeletons, and which joints trade places in a mirror image."""

import re
from collections.abc import Sequence

COCO_JOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""The 17 joints of COCO, in its order."""

HALPE_26_JOINTS = (
    *COCO_JOINTS,
    *("head", "neck", "hip"),
    *("left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe"),
    *("left_heel", "right_heel"),
)
"""The 26 joints of Halpe, which AlphaPose and MMPose also find."""

_ARMS = (
    *("right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)
_LEGS = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
_EYES_AND_EARS = ("right_eye", "left_eye", "right_ear", "left_ear")

OPENPOSE_JOINTS = {
    25: (
        *("nose", "neck", *_ARMS, "mid_hip", *_LEGS, *_EYES_AND_EARS),
        *("left_big_toe", "left_small_toe", "left_heel"),
        *("right_big_toe", "right_small_toe", "right_heel"),
    ),
    18: ("nose", "neck", *_ARMS, *_LEGS, *_EYES_AND_EARS),
    15: ("head", "neck", *_ARMS, *_LEGS, "chest"),
}
"""The joints of OpenPose by their number: its models BODY_25, COCO and MPI."""

_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}
_MIDDLE_WORDS = """
    belly bottom center chest chin face head hip lower middle mid mouth neck nose pelvis root spine
    thorax top torso upper
"""
_MIDDLE = frozenset(_MIDDLE_WORDS.split())
_WORD = re.compile(r"[A-Z](?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def mirrored_joints(names: Sequence[str]) -> tuple[int, ...] | None:
    """Find the joint that takes the place of each joint in a mirror image.

    A joint with the word left, right, L or R in its name (`left_wrist`, `wrist.R`, `LWrist`) trades
    places with the joint of the other side. A joint stays if its name says that it is in the middle
    (`nose`, `head_top`, `mid_hip`).

    Returns:
        For each joint, the index of the other joint. None if this is unknown for any joint: its
        name says neither, or there is no joint of the other side.
    """
    numbers = {_words(name): number for number, name in enumerate(names)}
    others = [_mirrored(words) for words in numbers]
    mirrored = tuple(numbers[words] for words in others if words in numbers)
    return mirrored if len(mirrored) == len(names) else None


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(name))


def _mirrored(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the words of the joint of the other side; None if they do not say where it is."""
    if len(_OTHER_SIDE.keys() & words) == 1:
        return tuple(_OTHER_SIDE.get(word, word) for word in words)
    named = {word for word in words if not word.isdecimal()}
    is_middle = "mid" in named or (named and named <= _MIDDLE)
    return words if is_middle else None
