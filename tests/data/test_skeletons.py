"""Mirror images of joints: by names that say their sides, and only by those."""

from collections.abc import Sequence

import pytest

from mpvn.data.sets.jhmdb import JOINTS as JHMDB_JOINTS
from mpvn.data.skeletons import COCO_JOINTS, HALPE_26_JOINTS, OPENPOSE_JOINTS, mirrored_joints


@pytest.mark.parametrize(
    "names",
    [COCO_JOINTS, HALPE_26_JOINTS, JHMDB_JOINTS, *OPENPOSE_JOINTS.values()],
    ids=lambda names: str(len(names)),
)
def test_known_skeletons_have_mirror_images(names: Sequence[str]) -> None:
    swap = {"left": "right", "right": "left"}
    opposite = ["_".join(swap.get(word, word) for word in name.split("_")) for name in names]
    assert mirrored_joints(names) == tuple(names.index(name) for name in opposite)
    assert len(set(names)) == len(names)


def test_openpose_joints_have_the_documented_numbers() -> None:
    body = OPENPOSE_JOINTS[25]
    expected = {0: "nose", 4: "right_wrist", 7: "left_wrist", 8: "mid_hip", 14: "left_ankle"}
    expected |= {15: "right_eye", 18: "left_ear", 19: "left_big_toe", 24: "right_heel"}
    assert {number: body[number] for number in expected} == expected
    assert (OPENPOSE_JOINTS[18][8], OPENPOSE_JOINTS[18][17]) == ("right_hip", "left_ear")
    assert (OPENPOSE_JOINTS[15][0], OPENPOSE_JOINTS[15][13]) == ("head", "left_ankle")


@pytest.mark.parametrize(
    ("names", "mirrored"),
    [
        (("LWrist", "RWrist", "Neck"), (1, 0, 2)),
        (("wrist.L", "wrist.R"), (1, 0)),
        (("Left Ear", "head-top", "Right Ear", "spine1", "spine2"), (2, 1, 0, 3, 4)),
        (("hand_right", "hand_left", "MidHip"), (1, 0, 2)),
        (("left_finger_1", "left_finger_2", "right_finger_2", "right_finger_1"), (3, 2, 1, 0)),
        ((), ()),
        (("left_wrist", "nose"), None),  # no right wrist
        (("leftwrist", "rightwrist"), None),
        (("wrist", "nose"), None),
        (("joint 0", "joint 1"), None),
        (("0", "1"), None),
        (("nose", "gauche", "droite"), None),
        (("左手", "右手"), None),
        (("left_wrist", "LeftWrist", "right_wrist"), None),
    ],
)
def test_sides_are_words_of_the_name(
    names: tuple[str, ...], mirrored: tuple[int, ...] | None
) -> None:
    assert mirrored_joints(names) == mirrored
