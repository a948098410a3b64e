"""How the rendered figure moves: from an action to the 17 joints at each time.

The figure faces us, so its left side is at the right of the picture. A pose depends on how far on
an action is and on nothing else: played backwards, an action is as natural as forwards, and no
single pose tells the one from the other. It therefore walks sideways, facing us all the way.

Lengths are in heights of the figure, x to the right and y down, from the ground beneath it.

What it does not do well: the skeleton is flat, but for knees that bend half towards us, and
nothing falls, jumps or turns round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpvn.data.video_set import COCO_JOINTS

Array = npt.NDArray[np.float64]

GROUND_TO_TOP = 0.96  # Of a figure that stands upright.
_SHOULDERS, _HIPS = 0.105, 0.058  # Half of the widths.
_TORSO = 0.255  # From the hips to the shoulders.
_HEAD = 0.145  # From the shoulders to the middle of the head.
_UPPER_ARM, _FOREARM = 0.160, 0.145
_THIGH, _SHIN, _ANKLE = 0.225, 0.215, 0.020
_LEG = 0.997 * (_THIGH + _SHIN)  # A knee would jerk where its leg gets quite straight.
_TURN_OUT = 0.5  # So much of the bend of a knee is seen from the front.
_FACE = {  # From the middle of the head, as long as nothing leans.
    "nose": (0.0, 0.012),
    "left_eye": (0.032, -0.012),
    "right_eye": (-0.032, -0.012),
    "left_ear": (0.080, 0.0),
    "right_ear": (-0.080, 0.0),
}
_SIDES = {"left": 1.0, "right": -1.0}

_LONGEST_STROKE = 4.0  # Seconds; in a longer video a stroke is repeated.
_STROKE_SHARE = 0.8  # Of the period of a repeated stroke; the rest is the way back.
_LONGEST_WALK = 0.6  # Heights that a walker moves in the picture; the camera goes along the rest.


@dataclass(frozen=True)
class Motion:
    """The course of one action.

    Attributes:
        joints: those of `COCO_JOINTS`, float64 `[times, 17, 2]`, x and y in heights of the figure.
        pan: the speed at which the camera goes along, to the right, in heights per second.
    """

    joints: Array
    pan: float = 0.0


def perform(action: str, times: Array, duration: float, rng: np.random.Generator) -> Motion:
    """The figure performs an action, one of each pair; the other is its reversal.

    Args:
        action: the first of a pair of `mpvn.data.rendered.figures.ACTIONS`.
        times: when, in seconds, evenly spaced from 0.
        duration: of the video, in seconds. One of up to 4 seconds shows one stroke of an arm, one
            squat, one change of tempo. In a longer one they start again and again, each time
            after a short way back.
        rng: chooses sides, tempo and extent.
    """
    return _ACTIONS[action](times, duration, rng)


@dataclass
class _Body:
    """A posture at each time. Arrays have the shape `[times]`.

    Attributes:
        hips: x and y of the middle between the hips.
        lean: angle of the torso, clockwise, in radians.
        arms: by side the angle of the upper arm from hanging down, outwards, and by how much the
            forearm turns further that way, in radians.
        ankles: by side x and y.
    """

    hips: tuple[Array, Array]
    lean: Array
    arms: dict[str, tuple[Array, Array]]
    ankles: dict[str, tuple[Array, Array]]

    def joints(self) -> Array:
        """Joints `[times, 17, 2]`."""
        across = np.stack([np.cos(self.lean), np.sin(self.lean)], -1)  # [times, 2], as all below
        down = np.stack([-np.sin(self.lean), np.cos(self.lean)], -1)
        hips = np.stack(self.hips, -1)
        shoulders = hips - _TORSO * down
        head = shoulders - _HEAD * down
        places = {name: head + x * across + y * down for name, (x, y) in _FACE.items()}
        for name, side in _SIDES.items():
            upper, bend = self.arms[name]
            shoulder = shoulders + side * _SHOULDERS * across
            elbow = shoulder + _UPPER_ARM * _hanging(upper, side * across, down)
            wrist = elbow + _FOREARM * _hanging(upper + bend, side * across, down)
            hip = hips + side * _HIPS * across
            ankle = np.stack(self.ankles[name], -1)
            places |= {
                f"{name}_shoulder": shoulder,
                f"{name}_elbow": elbow,
                f"{name}_wrist": wrist,
                f"{name}_hip": hip,
                f"{name}_knee": _knee(hip, ankle, side),
                f"{name}_ankle": ankle,
            }
        return np.stack([places[name] for name in COCO_JOINTS], 1)


def _hanging(angle: Array, outwards: Array, down: Array) -> Array:
    """The direction `[times, 2]` of what is turned outwards from hanging down."""
    return np.sin(angle)[:, None] * outwards + np.cos(angle)[:, None] * down


def _knee(hip: Array, ankle: Array, side: float) -> Array:
    """The knee `[times, 2]` between a hip and an ankle, bent outwards and towards us."""
    leg = ankle - hip
    length = np.sqrt((leg**2).sum(-1, keepdims=True))
    along = (_THIGH**2 - _SHIN**2 + length**2) / (2 * length)
    bend = _TURN_OUT * np.sqrt(np.maximum(_THIGH**2 - along**2, 0))
    outwards = side * leg[:, ::-1] * (1, -1)
    return hip + (along * leg + bend * outwards) / length


def _hip_height(stance: Array | float) -> Array:
    """Height of the hips over the ground, with ankles that far to each side of the middle."""
    return _ANKLE + np.sqrt(_LEG**2 - np.square(stance - _HIPS))


def _arm_angles(outwards: Array, down: Array) -> tuple[Array, Array]:
    """The angles at which an arm reaches a point so far from its shoulder, elbow outside."""
    distance = np.hypot(outwards, down)
    at_shoulder = (_UPPER_ARM**2 + distance**2 - _FOREARM**2) / (2 * _UPPER_ARM * distance)
    at_elbow = (_UPPER_ARM**2 + _FOREARM**2 - distance**2) / (2 * _UPPER_ARM * _FOREARM)
    return np.arctan2(outwards, down) + np.arccos(at_shoulder), np.arccos(at_elbow) - np.pi


def _standing(times: Array, stance: float, rng: np.random.Generator) -> _Body:
    """A figure with its feet `stance` to each side, swaying a little, arms down."""
    still = np.zeros_like(times)
    sway = 2 * np.pi * times / rng.uniform(1.8, 3.0) + rng.uniform(0, 2 * np.pi)
    hang, bend = rng.uniform(0.18, 0.34), rng.uniform(-0.25, -0.05)
    swing = 0.05 * np.sin(sway + 1.0)
    return _Body(
        hips=(0.010 * np.sin(sway), 0.002 * np.cos(sway) - _hip_height(stance)),
        lean=0.02 * np.sin(sway + 0.5),
        arms={"left": (hang + swing, still + bend), "right": (hang - swing, still + bend)},
        ankles={name: (still + side * stance, still - _ANKLE) for name, side in _SIDES.items()},
    )


def _course(times: Array, duration: float, rng: np.random.Generator) -> Array:
    """How far on a stroke is, from 0 to 1; where it is repeated, from 1 to 2 on the way back."""
    if duration <= _LONGEST_STROKE:
        first, last = rng.uniform(0.0, 0.1), rng.uniform(0.9, 1.0)
        return first + (last - first) * times / duration
    phase = (times / rng.uniform(2.6, 3.4) + rng.uniform()) % 1.0
    back = (phase - _STROKE_SHARE) / (1 - _STROKE_SHARE)
    return np.where(phase < _STROKE_SHARE, phase / _STROKE_SHARE, 1 + back)


def _eased(course: Array) -> Array:
    """0 where a stroke begins and 1 where it ends, slow at both."""
    return 0.5 - 0.5 * np.cos(np.pi * course)


def _raise_arm(times: Array, duration: float, rng: np.random.Generator) -> Motion:
    body = _standing(times, rng.uniform(0.06, 0.11), rng)
    raised = _eased(_course(times, duration, rng))
    arm, other = rng.permutation(list(_SIDES))
    low, high = rng.uniform(0.10, 0.35), rng.uniform(2.4, 2.9)
    body.arms[arm] = (low + (high - low) * raised, rng.uniform(0.15, 0.5) * raised - 0.15)
    if rng.random() < 0.4:  # The other hand at the waist.
        body.arms[other] = (body.arms[other][0] + 0.5, body.arms[other][1] - 1.5)
    body.lean -= _SIDES[arm] * 0.05 * raised  # Away from the arm, as a counterweight.
    return Motion(body.joints())


def _walk_left(times: Array, duration: float, rng: np.random.Generator) -> Motion:
    """Steps to the left: one foot steps out, the other follows, while the hips move evenly."""
    body = _standing(times, 0.0, rng)
    step, period = rng.uniform(0.20, 0.28), rng.uniform(0.65, 0.85)
    stance, lift = rng.uniform(0.055, 0.075), rng.uniform(0.03, 0.05)
    pan = min(0.0, _LONGEST_WALK / duration - step / period)
    middle = rng.uniform()
    steps = middle + (times - duration / 2) / period
    camera = pan * (times - duration / 2)
    phase = steps % 1.0
    stepped = {"right": np.minimum(2 * phase, 1), "left": np.maximum(2 * phase - 1, 0)}
    for name, share in stepped.items():
        x = _SIDES[name] * stance - step * (steps - phase + _eased(share) - middle) - camera
        body.ankles[name] = (x, -_ANKLE - lift * np.sin(np.pi * share) ** 2)
    apart = np.sin(np.pi * phase) ** 2  # Of the feet.
    hips_x = -step * (steps - middle) - camera
    body.hips = (hips_x, -_hip_height(stance + 0.5 * step * apart))
    body.arms = {
        name: (hang + rng.uniform(0.15, 0.35) * apart, bend - 0.15)
        for name, (hang, bend) in body.arms.items()
    }
    return Motion(body.joints(), pan)


def _windmill_clockwise(times: Array, duration: float, rng: np.random.Generator) -> Motion:
    body = _standing(times, rng.uniform(0.08, 0.12), rng)
    turn = 2 * np.pi * (times * rng.uniform(0.7, 1.0) + rng.uniform())
    arm, other = rng.permutation(list(_SIDES))
    bend = np.full_like(times, rng.uniform(0.0, 0.2))
    body.arms[arm] = (-_SIDES[arm] * turn, bend)
    if rng.random() < 0.5:  # The other one follows half a turn behind, clockwise in the picture.
        body.arms[other] = (-_SIDES[other] * turn + np.pi + rng.uniform(-0.6, 0.6), bend)
    body.lean += 0.03 * np.sin(turn)
    return Motion(body.joints())


def _squat_down(times: Array, duration: float, rng: np.random.Generator) -> Motion:
    body = _standing(times, rng.uniform(0.11, 0.14), rng)
    lowered = _eased(_course(times, duration, rng))
    x, y = body.hips
    body.hips = (x, y + rng.uniform(0.15, 0.21) * lowered)
    lifted, bent = rng.uniform(0.7, 1.2), rng.uniform(0.0, 1.2)
    body.arms = {
        name: (hang + lifted * lowered, bend - bent * lowered)
        for name, (hang, bend) in body.arms.items()
    }
    return Motion(body.joints())


def _clap_faster(times: Array, duration: float, rng: np.random.Generator) -> Motion:
    body = _standing(times, rng.uniform(0.06, 0.11), rng)
    slow, fast = rng.uniform(0.7, 0.9), rng.uniform(2.3, 2.7)  # Claps per second.
    course = _course(times, duration, rng)
    tempo = slow + (fast - slow) * np.minimum(course, 2 - course)
    between = 0.5 * (tempo[1:] + tempo[:-1]) * np.diff(times)  # Claps from time to time.
    claps = rng.uniform() + np.cumsum(np.concatenate([[0.0], between]))
    apart = np.sin(np.pi * claps) ** 2
    body.arms = dict.fromkeys(
        _SIDES,
        _arm_angles(
            0.036 - _SHOULDERS + rng.uniform(0.16, 0.24) * apart,
            rng.uniform(0.09, 0.15) + rng.uniform(-0.03, 0.02) * apart,
        ),
    )
    return Motion(body.joints())


_Action = Callable[[Array, float, np.random.Generator], Motion]
_ACTIONS: dict[str, _Action] = {
    "arm_up": _raise_arm,
    "walk_left": _walk_left,
    "windmill_clockwise": _windmill_clockwise,
    "squat_down": _squat_down,
    "clap_faster": _clap_faster,
}
