"""Read rendered figures, and recognize their actions from the joints."""

import numpy as np

from mpvn.data.rendered.figure_video import FigureVideo
from mpvn.data.skeletons import COCO_JOINTS

EVERYTHING = {"objects": 2, "occlusion": True, "cuts": True}
SIDES = ("left", "right")
LEFT = [COCO_JOINTS.index(f"left_{part}") for part in ("elbow", "wrist", "knee", "ankle")]
RIGHT = [COCO_JOINTS.index(f"right_{part}") for part in ("elbow", "wrist", "knee", "ankle")]


def read_all(video: FigureVideo) -> np.ndarray:
    """Every frame, uint8 `[frames, H, W, 3]`."""
    return video.read(range(len(video.timeline)))


def all_joints(video: FigureVideo) -> np.ndarray:
    """The joints in every frame, float32 `[frames, 17, 3]`."""
    return video.joints(range(len(video.timeline)))[:, 0]


def color_at(frames: np.ndarray, joints: np.ndarray, name: str) -> np.ndarray:
    """The color of the pixel at a joint, float64 `[frames, 3]`."""
    x, y = np.round(joints[:, COCO_JOINTS.index(name), :2]).astype(int).T
    return frames[np.arange(len(frames)), y, x].astype(float)


def position(joints: np.ndarray, name: str) -> np.ndarray:
    """x and y of a joint, float64 `[frames, 2]`."""
    return joints[:, COCO_JOINTS.index(name), :2].astype(float)


def midpoint(joints: np.ndarray, part: str) -> np.ndarray:
    """x and y of the point between a left and a right joint, float64 `[frames, 2]`."""
    return (position(joints, f"left_{part}") + position(joints, f"right_{part}")) / 2


def recognize_action(joints: np.ndarray) -> str:
    """Recognize an action from its joints alone, as a person would: what moves, and which way."""
    torso = np.linalg.norm(midpoint(joints, "hip") - midpoint(joints, "shoulder"), axis=-1).mean()
    arms = [position(joints, f"{s}_wrist") - position(joints, f"{s}_shoulder") for s in SIDES]
    # Clockwise angles, because y points down.
    turns = [np.unwrap(np.arctan2(arm[:, 1], arm[:, 0])) for arm in arms]
    turned = max((turn[-1] - turn[0] for turn in turns), key=abs)
    walked, sunk = (midpoint(joints, "hip")[-1] - midpoint(joints, "hip")[0]) / torso
    lowered = max(((arm[-1] - arm[0])[1] / torso for arm in arms), key=abs)
    if abs(walked) > 1:
        return "walk_left" if walked < 0 else "walk_right"
    if abs(turned) > 2 * np.pi:
        return "windmill_clockwise" if turned > 0 else "windmill_counterclockwise"
    if abs(sunk) > 0.3:
        return "squat_down" if sunk > 0 else "squat_up"
    if abs(lowered) > 0.8:
        return "arm_up" if lowered < 0 else "arm_down"
    apart = (position(joints, "left_wrist") - position(joints, "right_wrist"))[:, 0]
    speed = np.abs(np.diff(apart))
    early, late = speed[: len(speed) // 2].sum(), speed[len(speed) // 2 :].sum()
    return "clap_faster" if late > early else "clap_slower"
