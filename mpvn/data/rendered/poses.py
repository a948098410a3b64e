"""How the figure moves: the 17 joints over time, for each action.

The figure faces the camera, so its left side is on the right of the image. A pose depends only on
the progress of the action: played backwards, an action looks as natural as forwards, and no single
pose tells which of the two it is. The figure therefore walks sideways, facing the camera.

Lengths are in heights of the figure, x to the right and y down, from the ground below the figure.

Limitations: the skeleton is flat, except for knees that bend halfway towards the camera, and
nothing falls, jumps or turns around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpvn.data.rendered.arrays import Float64Array
from mpvn.data.skeletons import COCO_JOINTS

GROUND_TO_TOP = 0.96  # from the ground to the top of the head of an upright figure
_SHOULDERS, _HIPS = 0.105, 0.058  # half of the widths
_TORSO = 0.255  # from the hips to the shoulders
_HEAD = 0.145  # from the shoulders to the center of the head
_UPPER_ARM, _FOREARM = 0.160, 0.145
_THIGH, _SHIN, _ANKLE = 0.225, 0.215, 0.020
_LEG = 0.997 * (_THIGH + _SHIN)  # longest leg; a knee would jerk if the leg became fully straight
_TURN_OUT = 0.5  # share of a bent knee's displacement that is visible from the front
_FACE = {  # (x, y) from the center of an upright head
    "nose": (0.0, 0.012),
    "left_eye": (0.032, -0.012),
    "right_eye": (-0.032, -0.012),
    "left_ear": (0.080, 0.0),
    "right_ear": (-0.080, 0.0),
}
_SIDES = {"left": 1.0, "right": -1.0}  # direction of x

_LONGEST_STROKE = 4.0  # seconds; in a longer video, the action is repeated
_STROKE_SHARE = 0.8  # share of the period of a repeated action; the rest is the way back
_LONGEST_WALK = 0.6  # heights that a walker moves within the frame; the camera covers the rest


@dataclass(frozen=True)
class Motion:
    """The motion of one action.

    Attributes:
        joints: The joints in `COCO_JOINTS`, float64 `[times, 17, 2]`, x and y in heights of the
            figure.
        pan: Speed of the camera to the right, in heights per second.
    """

    joints: Float64Array
    pan: float = 0.0


def perform(action: str, times: Float64Array, duration: float, rng: np.random.Generator) -> Motion:
    """Return the motion of an action, the first of a pair; the second is its time reversal.

    Args:
        action: One of `mpvn.data.rendered.figure_video.ACTIONS`, the first of a pair.
        times: Times in seconds, float64 `[times]`, evenly spaced from 0.
        duration: Length of the video, in seconds. A video of up to 4 seconds shows one movement of
            an arm, one squat, or one change of tempo. In a longer video, they repeat, each time
            after a short way back.
        rng: Chooses sides, tempo and extent.
    """
    return _ACTIONS[action](times, duration, rng)


@dataclass
class _Body:
    """The posture over time. Every array is float64 `[times]`.

    Attributes:
        hips: x and y of the center between the hips.
        lean: Angle of the torso, clockwise, in radians.
        arms: For each side, the angle of the upper arm from hanging down, outwards, and the
            additional angle of the forearm, in radians.
        ankles: For each side, x and y.
    """

    hips: tuple[Float64Array, Float64Array]
    lean: Float64Array
    arms: dict[str, tuple[Float64Array, Float64Array]]
    ankles: dict[str, tuple[Float64Array, Float64Array]]

    def joints(self) -> Float64Array:
        """Return the joints in `COCO_JOINTS`, float64 `[times, 17, 2]`."""
        across = np.stack(
            [np.cos(self.lean), np.sin(self.lean)], -1
        )  # [times, 2], as all arrays below
        down = np.stack([-np.sin(self.lean), np.cos(self.lean)], -1)
        hips = np.stack(self.hips, -1)
        shoulders = hips - _TORSO * down
        head = shoulders - _HEAD * down
        positions = {name: head + x * across + y * down for name, (x, y) in _FACE.items()}
        for name, side in _SIDES.items():
            upper, bend = self.arms[name]
            shoulder = shoulders + side * _SHOULDERS * across
            elbow = shoulder + _UPPER_ARM * _hanging(upper, side * across, down)
            wrist = elbow + _FOREARM * _hanging(upper + bend, side * across, down)
            hip = hips + side * _HIPS * across
            ankle = np.stack(self.ankles[name], -1)
            positions |= {
                f"{name}_shoulder": shoulder,
                f"{name}_elbow": elbow,
                f"{name}_wrist": wrist,
                f"{name}_hip": hip,
                f"{name}_knee": _knee(hip, ankle, side),
                f"{name}_ankle": ankle,
            }
        return np.stack([positions[name] for name in COCO_JOINTS], 1)


def _hanging(angle: Float64Array, outwards: Float64Array, down: Float64Array) -> Float64Array:
    """Return the direction, `[times, 2]`, of a limb turned outwards from hanging down."""
    return np.sin(angle)[:, None] * outwards + np.cos(angle)[:, None] * down


def _knee(hip: Float64Array, ankle: Float64Array, side: float) -> Float64Array:
    """Return the knee, `[times, 2]`, between hip and ankle, bent outwards and to the camera."""
    leg = ankle - hip
    length = np.sqrt((leg**2).sum(-1, keepdims=True))
    along = (_THIGH**2 - _SHIN**2 + length**2) / (2 * length)
    bend = _TURN_OUT * np.sqrt(np.maximum(_THIGH**2 - along**2, 0))
    outwards = side * leg[:, ::-1] * (1, -1)
    return hip + (along * leg + bend * outwards) / length


def _hip_height(stance: Float64Array | float) -> Float64Array:
    """Return the height of the hips if the ankles are `stance` to each side of the center."""
    return _ANKLE + np.sqrt(_LEG**2 - np.square(stance - _HIPS))


def _arm_angles(outwards: Float64Array, down: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the arm angles that put the wrist at a point relative to the shoulder.

    The elbow is on the outer side.
    """
    distance = np.hypot(outwards, down)
    at_shoulder = (_UPPER_ARM**2 + distance**2 - _FOREARM**2) / (2 * _UPPER_ARM * distance)
    at_elbow = (_UPPER_ARM**2 + _FOREARM**2 - distance**2) / (2 * _UPPER_ARM * _FOREARM)
    return np.arctan2(outwards, down) + np.arccos(at_shoulder), np.arccos(at_elbow) - np.pi


def _standing(times: Float64Array, stance: float, rng: np.random.Generator) -> _Body:
    """Return a figure that sways slightly, arms down, with its feet `stance` to each side."""
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


def _progress(times: Float64Array, duration: float, rng: np.random.Generator) -> Float64Array:
    """Return the progress of an action, from 0 to 1, and from 1 to 2 on the way back."""
    if duration <= _LONGEST_STROKE:
        first, last = rng.uniform(0.0, 0.1), rng.uniform(0.9, 1.0)
        return first + (last - first) * times / duration
    phase = (times / rng.uniform(2.6, 3.4) + rng.uniform()) % 1.0
    back = (phase - _STROKE_SHARE) / (1 - _STROKE_SHARE)
    return np.where(phase < _STROKE_SHARE, phase / _STROKE_SHARE, 1 + back)


def _eased(progress: Float64Array) -> Float64Array:
    """Map progress to a position from 0 to 1 that starts and ends slowly."""
    return 0.5 - 0.5 * np.cos(np.pi * progress)


def _raise_arm(times: Float64Array, duration: float, rng: np.random.Generator) -> Motion:
    body = _standing(times, rng.uniform(0.06, 0.11), rng)
    raised = _eased(_progress(times, duration, rng))
    arm, other = rng.permutation(list(_SIDES))
    low, high = rng.uniform(0.10, 0.35), rng.uniform(2.4, 2.9)
    body.arms[arm] = (low + (high - low) * raised, rng.uniform(0.15, 0.5) * raised - 0.15)
    if rng.random() < 0.4:  # the other hand at the waist
        body.arms[other] = (body.arms[other][0] + 0.5, body.arms[other][1] - 1.5)
    body.lean -= _SIDES[arm] * 0.05 * raised  # away from the arm, as a counterweight
    return Motion(body.joints())


def _walk_left(times: Float64Array, duration: float, rng: np.random.Generator) -> Motion:
    """Step to the left: one foot steps out, the other follows, and the hips move evenly."""
    body = _standing(times, 0.0, rng)
    step, period = rng.uniform(0.20, 0.28), rng.uniform(0.65, 0.85)
    stance, lift = rng.uniform(0.055, 0.075), rng.uniform(0.03, 0.05)
    pan = min(0.0, _LONGEST_WALK / duration - step / period)
    center = rng.uniform()
    steps = center + (times - duration / 2) / period
    camera = pan * (times - duration / 2)
    phase = steps % 1.0
    stepped = {"right": np.minimum(2 * phase, 1), "left": np.maximum(2 * phase - 1, 0)}
    for name, share in stepped.items():
        x = _SIDES[name] * stance - step * (steps - phase + _eased(share) - center) - camera
        body.ankles[name] = (x, -_ANKLE - lift * np.sin(np.pi * share) ** 2)
    apart = np.sin(np.pi * phase) ** 2  # distance of the feet, from 0 to 1
    hips_x = -step * (steps - center) - camera
    body.hips = (hips_x, -_hip_height(stance + 0.5 * step * apart))
    body.arms = {
        name: (hang + rng.uniform(0.15, 0.35) * apart, bend - 0.15)
        for name, (hang, bend) in body.arms.items()
    }
    return Motion(body.joints(), pan)


def _windmill_clockwise(times: Float64Array, duration: float, rng: np.random.Generator) -> Motion:
    body = _standing(times, rng.uniform(0.08, 0.12), rng)
    turn = 2 * np.pi * (times * rng.uniform(0.7, 1.0) + rng.uniform())
    arm, other = rng.permutation(list(_SIDES))
    bend = np.full_like(times, rng.uniform(0.0, 0.2))
    body.arms[arm] = (-_SIDES[arm] * turn, bend)
    if rng.random() < 0.5:  # the other arm follows half a turn behind, clockwise in the image
        body.arms[other] = (-_SIDES[other] * turn + np.pi + rng.uniform(-0.6, 0.6), bend)
    body.lean += 0.03 * np.sin(turn)
    return Motion(body.joints())


def _squat_down(times: Float64Array, duration: float, rng: np.random.Generator) -> Motion:
    body = _standing(times, rng.uniform(0.11, 0.14), rng)
    lowered = _eased(_progress(times, duration, rng))
    x, y = body.hips
    body.hips = (x, y + rng.uniform(0.15, 0.21) * lowered)
    lifted, bent = rng.uniform(0.7, 1.2), rng.uniform(0.0, 1.2)
    body.arms = {
        name: (hang + lifted * lowered, bend - bent * lowered)
        for name, (hang, bend) in body.arms.items()
    }
    return Motion(body.joints())


def _clap_faster(times: Float64Array, duration: float, rng: np.random.Generator) -> Motion:
    body = _standing(times, rng.uniform(0.06, 0.11), rng)
    slow, fast = rng.uniform(0.7, 0.9), rng.uniform(2.3, 2.7)  # claps per second
    progress = _progress(times, duration, rng)
    tempo = slow + (fast - slow) * np.minimum(progress, 2 - progress)
    between = 0.5 * (tempo[1:] + tempo[:-1]) * np.diff(times)  # claps between consecutive times
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


_Action = Callable[[Float64Array, float, np.random.Generator], Motion]
_ACTIONS: dict[str, _Action] = {
    "arm_up": _raise_arm,
    "walk_left": _walk_left,
    "windmill_clockwise": _windmill_clockwise,
    "squat_down": _squat_down,
    "clap_faster": _clap_faster,
}
