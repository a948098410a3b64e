"""Joints from the files of several estimators, and errors that name file and field."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from fake_sets import FRAMES, FakeSet, raises
from keypoint_json import NAMES, coco, flat, found, mmpose_instances, person, read

from mpvn.data.skeletons import COCO_JOINTS, OPENPOSE_JOINTS


def write_coco(fake: FakeSet, frames: list[int]) -> None:
    content = coco(list(range(FRAMES)))
    content["annotations"] = [content["annotations"][n] for n in frames]
    fake.json("joints.json", content)


def write_named_coco(fake: FakeSet, frames: list[int]) -> None:
    """Write `videos` and `frame_id`, as COCO-VID does."""
    content = coco(frames)
    for n, image in zip(frames, content["images"], strict=True):
        image.update(video_id=7, frame_id=n, file_name=f"elsewhere/{n + 1:06d}.jpg")
    fake.json("all.json", {**content, "videos": [{"id": 7, "name": "a"}]})


def write_alphapose(fake: FakeSet, frames: list[int]) -> None:
    results = [
        {"image_id": f"{n}.jpg", "category_id": 1, "keypoints": flat(person(n, 17)), "score": 3.1}
        for n in frames
    ]
    fake.json("results/a/alphapose-results.json", results)


def write_results(fake: FakeSet, frames: list[int]) -> None:
    results = [
        {"image_id": f"a/{n:05d}.png", "category_id": 1, "keypoints": flat(person(n, 17))}
        for n in frames
    ]
    fake.json("results.json", results)


def write_openpose(fake: FakeSet, frames: list[int]) -> None:
    for n in range(FRAMES):
        people = [{"person_id": [-1], "pose_keypoints_2d": flat(person(n, 25))}]
        content = {"version": 1.3, "people": people if n in frames else []}
        fake.json(f"poses/a_{n:012d}_keypoints.json", content)


def mmpose(frames: list[int], first: int) -> list[dict[str, Any]]:
    return [
        {"frame_id": n + first, "instances": mmpose_instances(n) if n in frames else []}
        for n in range(FRAMES)
    ]


def write_mmpose_inferencer(fake: FakeSet, frames: list[int]) -> None:
    fake.json("predictions/a.json", mmpose(frames, 0))


def write_mmpose_demo(fake: FakeSet, frames: list[int]) -> None:
    meta = {"keypoint_id2name": {str(n): name for n, name in enumerate(COCO_JOINTS)}}
    fake.json("results_a.json", {"meta_info": meta, "instance_info": mmpose(frames, 1)})


@pytest.mark.parametrize(
    ("write", "joints"),
    [
        (write_coco, tuple(NAMES)),
        (write_named_coco, tuple(NAMES)),
        (write_alphapose, COCO_JOINTS),
        (write_results, COCO_JOINTS),
        (write_openpose, OPENPOSE_JOINTS[25]),
        (write_mmpose_inferencer, COCO_JOINTS),
        (write_mmpose_demo, COCO_JOINTS),
    ],
)
@pytest.mark.filterwarnings("ignore:.*lists 4 of 8 frames.*:RuntimeWarning")
def test_people_are_in_the_frames_that_the_file_says(
    fake: FakeSet, write: Callable[[FakeSet, list[int]], None], joints: tuple[str, ...]
) -> None:
    """Frames without people do not move those after them."""
    fake.video("a.mp4", 40)
    write(fake, [0, 1, 4, 6])
    videos = read(fake)
    assert (videos.joints, videos.people, len(videos.videos)) == (joints, 1, 1)
    assert found(videos.videos[0]) == {0: [10], 1: [11], 4: [14], 6: [16]}
    assert videos.videos[0].joints([4]).shape == (1, 1, len(joints), 3)


# --- errors ---------------------------------------------------------------------------------------


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    content = json.loads(json.dumps(coco(list(range(FRAMES)))))
    change(content)
    return content


WRONG: list[tuple[Any, str]] = [
    ({"shapes": []}, "expected joints as COCO annotations, .*an object with shapes, which is none"),
    ([{"image_id": 1}], "expected joints as .* a list of an object with image_id"),
    ([{"image_id": 1, "keypoints": [1, 2, 1, 3]}], r"\[0\]: keypoints: expected x, y and conf"),
    ([{"image_id": 1, "keypoints": [1, 2, "a"]}], r"\[0\]: keypoints: expected numbers. Received"),
    ([{"image_id": 1, "keypoints": [1, 2, None]}], r"\[0\]: keypoints: expected finite numbers"),
    ({"people": [{"face": []}]}, r"people\[0\]: expected the field pose_keypoints_2d. .*face"),
    ({"people": 3}, "people: expected a list of objects. Received: 3"),
    ([{"frame_id": "x", "instances": []}], r"\[0\]: frame_id: expected an integer. Received: 'x'"),
    (
        [{"keypoints": [[1, 2]], "keypoint_scores": [1, 2]}],
        r"\[0\]: keypoints: expected \[x, y\] for each of 2 keypoint_scores",
    ),
    (
        changed(lambda c: c["annotations"][3].pop("image_id")),
        r"annotations\[3\]: expected the field",
    ),
    (
        changed(lambda c: c["annotations"][3].update(image_id=5)),
        r"annotations\[3\]: expected an image_id of `images`. Received: 5",
    ),
    (
        changed(lambda c: c["annotations"][3].update(keypoints=[1, 2, 2])),
        r"annotations\[3\]: keypoints: expected 9 numbers. Received: 3 numbers",
    ),
    (
        changed(lambda c: c["images"][2].pop("file_name")),
        r"images\[2\]: expected file_name, or vid",
    ),
    (changed(lambda c: c["images"][2].update(id=100)), r"images\[2\]: id 100 is a duplicate"),
    (changed(lambda c: c["images"][2].update(height=-1)), r"images\[2\]: height, width: expected"),
    (
        changed(lambda c: c.update(categories=[])),
        "categories: expected one category with keypoints",
    ),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_errors_name_file_and_field(fake: FakeSet, content: Any, message: str) -> None:
    fake.video("a.mp4", 40)
    fake.json("a.json", content)
    with pytest.raises(ValueError, match=f"1 problem:\n  a.json: {message}"):
        read(fake)


def test_other_errors_of_files(fake: FakeSet) -> None:
    fake.video("a.mp4", 40)
    with raises("Expected JSON files with joints in the folder", str(fake.root)):
        read(fake)
    pathlib.Path(fake.root / "a.json").write_text("{")
    with raises("a.json: expected JSON. Received: other text"):
        read(fake)
    fake.json("a.json", coco(list(range(FRAMES))))
    other = changed(lambda c: c["categories"][0].update(keypoints=["a", "b", "c"]))
    fake.video("b.mp4", 40)
    fake.json("b.json", json.loads(json.dumps(other).replace('"a/', '"b/')))
    with raises("b.json: expected the joints left_hand, nose, right_hand, as in a.json"):
        read(fake)
    with raises("a.json: expected 2 joints. Received: 3"):
        read(fake, names=("x", "y"))
    assert read(fake, names=("x", "y", "z")).mirrored_joints is None
    with raises("Expected the split test in the folder"):
        read(fake, split="test", names=("x", "y", "z"))
    fake.json("a.json", [])
    fake.json("b.json", [])
    with raises("expected joints of these videos. Received: none"):
        read(fake)
