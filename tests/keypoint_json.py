"""JSON files of joints for tests, in which a shift by one frame shows.

Joint 0 of the first person of frame n is at x = 10 + n.
"""

from typing import Any

from fake_sets import FakeSet

from mpvn.data import SETS, VideoSet

NAMES = ["left_hand", "nose", "right_hand"]


def person(frame: int, count: int = 3, confidence: float = 0.9) -> list[list[float]]:
    """Return [x, y, confidence] of each joint; the last one has a low confidence."""
    joints = [[10.0 + frame, 5.0 + n % 20, confidence] for n in range(count)]
    joints[-1][2] = 0.1
    return joints


def flat(joints: list[list[float]]) -> list[float]:
    return [value for joint in joints for value in joint]


def read(fake: FakeSet, **options: Any) -> VideoSet:
    return SETS["keypoint_videos"](fake.root, **options)


def found(video: Any) -> dict[int, list[float]]:
    """Return x of joint 0 of each person, by frame, and check that the last joint is hidden."""
    joints = video.joints(range(len(video.timeline)))
    assert (joints[..., -1, 2] == 0).all()
    shown = {
        frame: [float(each[0, 0]) for each in people if each[0, 2]]
        for frame, people in enumerate(joints)
    }
    return {frame: places for frame, places in shown.items() if places}


def coco(
    frames: list[int], video: str = "a", first: int = 0, **image: Any
) -> dict[str, list[dict[str, Any]]]:
    """Return COCO annotations with one person per frame."""
    return {
        "images": [
            {"id": 100 + n, "file_name": f"{video}/{n + first:06d}.jpg", **image} for n in frames
        ],
        "annotations": [
            {"image_id": 100 + n, "category_id": 1, "iscrowd": 0, "keypoints": flat(person(n))}
            for n in frames
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
    }


def mmpose_instances(frame: int) -> list[dict[str, Any]]:
    joints = person(frame, 17)
    places = [joint[:2] for joint in joints]
    scores = [joint[2] for joint in joints]
    return [{"keypoints": places, "keypoint_scores": scores, "bbox": [[0, 0, 9, 9]]}]
