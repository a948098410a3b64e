"""The reader of PoseTrack."""

from typing import Any

import numpy as np
import pytest
from fake_sets import FRAMES, FakeSet, assert_frames, raises

from mpvn.data import SETS

JOINTS = ["nose", "head_bottom", "left_wrist", "right_wrist"]
NAME = "000001_bonn_train"


def person(image: int, track: int, value: float) -> dict[str, Any]:
    keypoints = [value, value + 1, 1, 0, 0, 0, value + 2, value + 3, 1.0, 5, 6, 2]
    return {"image_id": 100 + image, "track_id": track, "keypoints": keypoints, "bbox": []}


def annotations(name: str, people: list[dict[str, Any]], split: str = "train") -> dict[str, Any]:
    """The content of the annotation file of one video."""
    images = [
        {"id": 100 + n, "file_name": f"images/{split}/{name}/{n:05d}.jpg", "is_labeled": n > 1}
        for n in range(FRAMES)
    ]
    return {
        "images": images,
        "annotations": people,
        "categories": [{"name": "person", "keypoints": JOINTS}],
    }


@pytest.fixture
def posetrack(fake: FakeSet) -> FakeSet:
    people = [person(2, 0, 1), person(3, 0, 2)]
    people += [person(n, 4, 10 * n) for n in (2, 3, 6)]
    people += [{"image_id": 107, "track_id": 9, "keypoints": []}]
    fake.images(f"images/train/{NAME}", 40, first=0)
    fake.json(f"annotations/train/{NAME}.json", annotations(NAME, people))
    fake.images("images/val/000342_mpii_test", 100, first=0)
    people = [person(n, 0, n) for n in range(FRAMES)]
    content = annotations("000342_mpii_test", people, "val")
    fake.json("annotations/val/000342_mpii_test.json", content)
    return fake


def test_all_people_of_the_longest_run_of_labeled_frames_are_read(posetrack: FakeSet) -> None:
    """Frames 2 to 7 are labeled. Two people are in frames 2 and 3, one in 6, none in the others."""
    train = SETS["posetrack"](posetrack.root)
    assert (train.name, train.classes, train.people) == ("PoseTrack 2018 train", (), 2)
    assert train.joints == tuple(JOINTS)
    assert train.mirrored_joints == (0, 1, 3, 2)
    (video,) = train.videos
    assert (video.label, len(video.timeline), video.timeline.rate) == (None, 6, 25)
    assert video.read([0]).mean() == pytest.approx(40 + 4 * 2, abs=1.5)
    joints = video.joints(range(6))
    assert joints is not None and joints.shape == (6, 2, 4, 3)
    np.testing.assert_array_equal(joints[1, 0], [[2, 3, 1], [0, 0, 0], [4, 5, 1], [5, 6, 1]])
    np.testing.assert_array_equal(joints[1, 1], [[30, 31, 1], [0, 0, 0], [32, 33, 1], [5, 6, 1]])
    assert joints[4, 0, 0, 0] == 60
    assert joints[4, 1].max() == joints[[2, 3, 5]].max() == 0, "nobody"


def test_frames_without_labels_are_left_out(posetrack: FakeSet) -> None:
    """As in the validation videos, where every fourth frame is labeled beside the middle ones."""
    people = [person(n, 0, n) for n in (0, 3, 4, 5)]
    content = annotations("000342_mpii_test", people, "val")
    for number, image in enumerate(content["images"]):
        image["is_labeled"] = number in (0, 3, 4, 5)
    posetrack.json("annotations/val/000342_mpii_test.json", content)
    (video,) = SETS["posetrack"](posetrack.root, "val").videos
    assert len(video.timeline) == 3
    np.testing.assert_array_equal(video.joints(range(3))[:, 0, 0, 0], [3, 4, 5])
    for image in content["images"]:
        del image["is_labeled"]
    posetrack.json("annotations/val/000342_mpii_test.json", content)
    assert_frames(SETS["posetrack"](posetrack.root, "val"), 25, 6)


def test_errors_of_annotations(posetrack: FakeSet) -> None:
    contents: dict[str, dict[str, Any]] = {
        "a": {"images": []},
        "b": annotations("none", [person(2, 0, 1)]),
        "c": annotations(NAME, []),
        "d": annotations(NAME, [{"image_id": 100, "track_id": 0, "keypoints": [1, 2, 3]}]),
        "e": annotations(NAME, [person(50, 0, 1)]),
        "f": {
            **annotations(NAME, [person(2, 0, 1)]),
            "categories": [{"keypoints": ["w", "x", "y", "z"]}],
        },
    }
    for name, content in contents.items():
        posetrack.json(f"annotations/train/{name}.json", content)
    with raises(
        "6 problems",
        "a.json: expected joints as COCO annotations",
        "b.json: expected a folder of images",
        "c.json: expected a person with keypoints. Received: none",
        "d.json: annotations[0]: keypoints: expected 12 numbers. Received: 3",
        "e.json: annotations[0]: expected an image_id of `images`. Received: 150",
        "and 1 more",
    ):
        SETS["posetrack"](posetrack.root)
    for name in "abcde":
        (posetrack.root / f"annotations/train/{name}.json").unlink()
    with raises("1 problem", "f.json: expected the joints"):
        SETS["posetrack"](posetrack.root)


def test_errors_of_files(posetrack: FakeSet) -> None:
    (posetrack.root / f"images/train/{NAME}/00003.jpg").unlink()
    with raises("1 images are missing in", "such as 00003.jpg"):
        SETS["posetrack"](posetrack.root)
    (posetrack.root / f"annotations/train/{NAME}.json").unlink()
    with raises("Expected JSON files", f"annotations/train/{NAME}.json"):
        SETS["posetrack"](posetrack.root)
    with raises("expected one of train, val. Received: 'test'"):
        SETS["posetrack"](posetrack.root, "test")
