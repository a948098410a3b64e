"""Joints of any folder of videos: which frame and which pixel each joint of a file belongs to."""

import numpy as np
import pytest
from fake_sets import FRAMES, SIZE, FakeSet, raises
from keypoint_json import coco, flat, found, mmpose_instances, person, read

from mpvn.data import VideoError
from mpvn.data.identity import identity
from mpvn.data.sets.files import FileVideo
from mpvn.data.skeletons import COCO_JOINTS

HEIGHT, WIDTH = SIZE


def test_images_are_found_by_name(fake: FakeSet) -> None:
    """Whatever their numbers are, and for files of single frames, too."""
    fake.images("walk/a.png", 40, first=57)
    fake.images("walk/b.png", 60, first=3)
    for n in (2, 5):
        fake.json(f"poses/walk/a/{n + 57:05d}.json", mmpose_instances(n))
        people = [{"pose_keypoints_2d": flat(person(n, 17))}]
        fake.json(f"poses/walk/b/{n + 3:05d}_keypoints.json", {"people": people})
    for video in read(fake, names=COCO_JOINTS, fps=10).videos:
        with pytest.warns(RuntimeWarning, match="lists 2 of 8 frames. The others count as"):
            assert video.timeline.rate == 10
        assert found(video) == {2: [12], 5: [15]}
    fake.json("poses/walk/a/00099.json", mmpose_instances(0))
    with pytest.raises(VideoError, match="expected images of the folder. Received: .* 00099"):
        read(fake, names=COCO_JOINTS).videos[0].joints([0])


def test_several_people_are_padded_to_the_most_of_the_set(fake: FakeSet) -> None:
    fake.video("a.mp4", 40)
    fake.video("b.mp4", 60)
    a, b = coco(list(range(FRAMES))), coco(list(range(FRAMES)), "b")
    a["annotations"] += [
        {"image_id": 103, "category_id": 1, "keypoints": flat(person(20))},
        {"image_id": 103, "category_id": 1, "keypoints": 9 * [0]},
        {"image_id": 103, "category_id": 1, "iscrowd": 1, "keypoints": flat(person(21))},
        {"image_id": 103, "category_id": 2, "bbox": [1, 2, 3, 4]},
    ]
    fake.json("joints/a.json", a)
    fake.json("joints/b.json", b)
    videos = read(fake)
    assert videos.people == 2
    assert found(videos.videos[0])[3] == [13, 30]
    assert found(videos.videos[1])[3] == [13]
    assert videos.videos[1].joints([3, 3]).shape == (2, 2, 3, 3)
    assert videos.mirrored_joints == (2, 1, 0)


def test_the_threshold_decides_what_is_visible(fake: FakeSet) -> None:
    """COCO's 1 (labeled but hidden) and 2 count as visible, 0 does not."""
    fake.video("a.mp4", 40)
    content = coco(list(range(FRAMES)))
    content["annotations"][0]["keypoints"] = [5, 6, 1, 7, 8, 2, 0, 0, 0]
    content["annotations"][1]["keypoints"] = [5, 6, 0.25, 7, 8, 0.35, 9, 9, 0.3]
    fake.json("a.json", content)
    for threshold, visible in ((0.3, [0, 1, 0]), (0.2, [1, 1, 1])):
        joints = read(fake, threshold=threshold).videos[0].joints([0, 1])
        np.testing.assert_array_equal(joints[0, 0], [[5, 6, 1], [7, 8, 1], [0, 0, 0]])
        np.testing.assert_array_equal(joints[1, 0, :, 2], visible)


def test_a_video_with_joints_has_the_identity_of_its_file(fake: FakeSet) -> None:
    """Three frames identified it, so videos that share them shared the cache of their flow."""
    fake.video("a.mp4", 40)
    fake.json("a.json", coco(list(range(FRAMES))))
    assert identity(read(fake).videos[0]) == FileVideo(fake.root / "a.mp4").identity


# --- numbers of frames ----------------------------------------------------------------------------


def test_frames_from_1_are_recognized_only_by_complete_lists(fake: FakeSet) -> None:
    fake.video("a.mp4", 40)
    fake.json("a.json", coco(list(range(FRAMES)), first=1))
    assert found(read(fake).videos[0])[3] == [13]
    # The last frame is missing: from 1 on, or from 0 on without the first?
    fake.json("a.json", coco(list(range(FRAMES - 1)), first=1))
    message = (
        "from 0 or from 1: expected 8 frames from 1 on. Received: frames 1 to 7. Set `first_fr"
    )
    with pytest.raises(VideoError, match=message):
        len(read(fake).videos[0].timeline)
    for first, shift in ((0, 1), (1, 0)):
        video = read(fake, first_frame=first).videos[0]
        with pytest.warns(RuntimeWarning, match="a.json lists 7 of 8 frames"):
            assert found(video)[3 + shift] == [13]


def test_lists_of_people_alone_do_not_say_where_they_start(fake: FakeSet) -> None:
    fake.video("a.mp4", 40)
    results = [{"image_id": f"{n:06d}.jpg", "keypoints": flat(person(n, 17))} for n in (1, 2)]
    fake.json("a.json", results)
    with raises("may be numbered from 0 or from 1", "Set `first_frame`"):
        read(fake)
    assert list(found(read(fake, first_frame=1).videos[0])) == [0, 1]


def test_more_frames_than_the_video_has_are_an_error(fake: FakeSet) -> None:
    fake.video("a.mp4", 40)
    for frames, first in ((range(FRAMES + 1), 0), ([0, 100], 0), (range(FRAMES + 1), 1)):
        fake.json("a.json", coco(list(frames), first=first))
        with pytest.raises(VideoError, match=r"a.json: expected frames .* Received: frame \d+"):
            read(fake).videos[0].joints([0])


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stated", [True, False])
def test_joints_of_a_larger_frame_are_scaled(fake: FakeSet, stated: bool) -> None:
    """Whole numbers are centers of pixels: x = 45 of 144 is 14.667 of 48, not 15."""
    fake.video("a.mp4", 40)
    size = {"height": 3 * HEIGHT, "width": 3 * WIDTH}
    content = coco(list(range(FRAMES)), **(size if stated else {}))
    content["annotations"][2]["keypoints"] = [45, 0, 2, 143, 95, 2, 0, 0, 0]
    fake.json("a.json", content)
    options = {} if stated else {"frame_size": (3 * HEIGHT, 3 * WIDTH)}
    joints = read(fake, **options).videos[0].joints([2])
    expected = [[45.5 / 3 - 0.5, 0.5 / 3 - 0.5], [143.5 / 3 - 0.5, 95.5 / 3 - 0.5]]
    np.testing.assert_allclose(joints[0, 0, :2, :2], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((WIDTH, HEIGHT), "Received: joints in frames of 48x32 .* Find the joints in upright fr"),
        ((2 * WIDTH, 2 * HEIGHT), "Received: joints in frames of 96x64 .* upright frames"),
        ((HEIGHT, HEIGHT), "Received: joints in frames of 32x32 .* not in cropped ones"),
    ],
)
def test_joints_of_turned_or_cropped_frames_are_an_error(
    fake: FakeSet, size: tuple[int, int], message: str
) -> None:
    fake.video("a.mp4", 40)
    fake.json("a.json", coco(list(range(FRAMES)), height=size[0], width=size[1]))
    with pytest.raises(VideoError, match=message):
        read(fake).videos[0].joints([0])


def test_joints_outside_of_the_frames_are_an_error(fake: FakeSet) -> None:
    fake.video("a.mp4", 40)
    content = coco(list(range(FRAMES)))
    for each in content["annotations"]:
        each["keypoints"] = [200, 10, 2, 180, 20, 2, 30, 4, 2]
    fake.json("a.json", content)
    with pytest.raises(VideoError, match="up to x = 200, y = 20. .* set `frame_size`"):
        read(fake).videos[0].joints([0])
    for each in content["annotations"]:
        each["keypoints"] = [0.2, 0.9, 2, 0.1, 0.2, 2, 0, 0, 0]
    fake.json("a.json", content)
    with raises("expected x and y in pixels. Received: numbers between -1 and 1"):
        read(fake)


# --- which video ----------------------------------------------------------------------------------


def test_paths_are_compared_from_their_ends(fake: FakeSet) -> None:
    for level, name in ((40, "walk/01.mp4"), (60, "run/01.mp4"), (80, "run/day 2/01.avi")):
        fake.video(name, level)
        fake.json(f"out/{name.rsplit('.', 1)[0]}.json", coco(list(range(FRAMES)), "01"))
    fake.json("out/walk/01.json", coco(list(range(FRAMES)), "walk/01"))
    fake.json("out/run/01.json", coco(list(range(FRAMES)), "run/01"))
    fake.json("out/run/day 2/01.json", coco(list(range(FRAMES)), "images/run/day 2/01.avi"))
    assert len(read(fake).videos) == 3
    assert [video.name for video in read(fake, split="run").videos] == [
        str(fake.root / "run/01.mp4"),
        str(fake.root / "run/day 2/01.avi"),
    ]
    fake.json("out/run/01.json", coco(list(range(FRAMES)), "01"))
    with raises("run/01.json: expected the name of one video. Received: 01, which may be"):
        read(fake)


def test_videos_without_joints_and_joints_without_videos_are_named(fake: FakeSet) -> None:
    for name in ("a.mp4", "b.mp4", "c/d.mkv"):
        fake.video(name, 40)
    a, gone = coco(list(range(FRAMES))), coco(list(range(FRAMES)), "gone")
    fake.json("a.json", a)
    fake.json("gone.json", gone)
    with pytest.warns(RuntimeWarning) as warned:
        assert len(read(fake).videos) == 1
    messages = [str(each.message) for each in warned]
    assert any("left out videos without joints: b.mp4, c/d.mkv." in each for each in messages)
    assert any("joints of videos that do not exist: gone." in each for each in messages)
    (fake.root / "a.json").unlink()
    with raises("expected joints of these videos. Received: those of gone"):
        read(fake)


def test_a_video_has_one_file(fake: FakeSet) -> None:
    fake.video("a.mp4", 40)
    fake.json("a.json", coco(list(range(FRAMES))))
    fake.json("old/a.json", coco(list(range(FRAMES))))
    with raises("a.mp4: expected joints in one file. Received: a.json and old/a.json"):
        read(fake)
    assert found(read(fake, annotations="old").videos[0])[3] == [13]
    assert found(read(fake, annotations="old/a.json").videos[0])[3] == [13]


def test_a_fraction_divides_the_videos(fake: FakeSet) -> None:
    for number in range(5):
        fake.video(f"{number}.mp4", 40)
        fake.json(f"{number}.json", coco(list(range(FRAMES)), str(number)))
    train, val = (read(fake, split=split, fraction=0.8) for split in ("train", "val"))
    assert (len(train.videos), len(val.videos)) == (4, 1)
    assert {video.name for video in (*train.videos, *val.videos)} == {
        str(fake.root / f"{number}.mp4") for number in range(5)
    }
