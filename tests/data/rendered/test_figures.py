"""The rendered figures: exact reversals and mirror images, joints where they are painted, any
frame by itself, and options that change nothing but what they name."""

import dataclasses
import hashlib
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mpvn.data.rendered import figures
from mpvn.data.rendered.figures import (
    ACTIONS,
    MIRRORED_ACTIONS,
    SPLITS,
    UNDIRECTED_ACTIONS,
    FigureVideo,
    rendered_figures,
)
from mpvn.data.video_set import COCO_JOINTS, VideoSet

EVERYTHING = {"objects": 2, "occlusion": True, "cuts": True}
LEFT = [COCO_JOINTS.index(f"left_{part}") for part in ("elbow", "wrist", "knee", "ankle")]
RIGHT = [COCO_JOINTS.index(f"right_{part}") for part in ("elbow", "wrist", "knee", "ankle")]


def whole(video: FigureVideo) -> np.ndarray:
    return video.read(range(video.frame_count))


def all_joints(video: FigureVideo) -> np.ndarray:
    return video.joints(range(video.frame_count))


def at(frames: np.ndarray, joints: np.ndarray, name: str) -> np.ndarray:
    """Colors float `[frames, 3]` of the pixels where a joint is."""
    x, y = np.round(joints[:, COCO_JOINTS.index(name), :2]).astype(int).T
    return frames[np.arange(len(frames)), y, x].astype(float)


def place(joints: np.ndarray, name: str) -> np.ndarray:
    return joints[:, COCO_JOINTS.index(name), :2].astype(float)


def between(joints: np.ndarray, part: str) -> np.ndarray:
    return (place(joints, f"left_{part}") + place(joints, f"right_{part}")) / 2


def action_seen_in(joints: np.ndarray) -> str:
    """Tells an action by its joints alone, as a person would: by what moves, and which way."""
    torso = np.linalg.norm(between(joints, "hip") - between(joints, "shoulder"), axis=-1).mean()
    arms = [place(joints, f"{s}_wrist") - place(joints, f"{s}_shoulder") for s in ("left", "right")]
    turns = [np.unwrap(np.arctan2(arm[:, 1], arm[:, 0])) for arm in arms]  # Clockwise, as y is down
    turned = max((turn[-1] - turn[0] for turn in turns), key=abs)
    walked, sunk = (between(joints, "hip")[-1] - between(joints, "hip")[0]) / torso
    lowered = max(((arm[-1] - arm[0])[1] / torso for arm in arms), key=abs)
    if abs(walked) > 1:
        return "walk_left" if walked < 0 else "walk_right"
    if abs(turned) > 2 * np.pi:
        return "windmill_clockwise" if turned > 0 else "windmill_counterclockwise"
    if abs(sunk) > 0.3:
        return "squat_down" if sunk > 0 else "squat_up"
    if abs(lowered) > 0.8:
        return "arm_up" if lowered < 0 else "arm_down"
    apart = (place(joints, "left_wrist") - place(joints, "right_wrist"))[:, 0]
    speed = np.abs(np.diff(apart))
    early, late = speed[: len(speed) // 2].sum(), speed[len(speed) // 2 :].sum()
    return "clap_faster" if late > early else "clap_slower"


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("label", range(0, 10, 2), ids=ACTIONS[::2])
def test_the_second_of_a_pair_is_the_first_backwards(label, mirrored, options) -> None:
    one = FigureVideo(label, 3, mirrored=mirrored, frame_count=9, fps=5, **options)
    other = dataclasses.replace(one, label=label + 1)
    np.testing.assert_array_equal(whole(other), whole(one)[::-1])
    np.testing.assert_array_equal(all_joints(other), all_joints(one)[::-1])
    assert not np.array_equal(whole(other), whole(one))


@pytest.mark.parametrize("label", range(0, 10, 2), ids=ACTIONS[::2])
def test_no_single_frame_tells_the_two_of_a_pair_apart(label: int) -> None:
    one, other = (
        Counter(frame.tobytes() for frame in whole(FigureVideo(label + i, seed=4))) for i in (0, 1)
    )
    assert one == other


@pytest.mark.parametrize("split", SPLITS)
def test_each_video_shows_its_action(split: str) -> None:
    for video in rendered_figures(100, split=split).videos:
        assert action_seen_in(all_joints(video)) == ACTIONS[video.label], video


def test_a_mirror_image_shows_the_class_that_is_said() -> None:
    videos = rendered_figures(40)
    for video in videos.videos:
        joints = all_joints(video)[:, videos.mirrored_joints]
        joints[..., 0] = 63 - joints[..., 0]
        assert action_seen_in(joints) == ACTIONS[videos.mirrored_labels[video.label]], video


@pytest.mark.parametrize("label", range(10), ids=ACTIONS)
def test_a_mirror_image_is_a_video_of_the_class_that_is_said(label: int) -> None:
    video = FigureVideo(label, 8, size=(48, 61), frame_count=6, **EVERYTHING)
    mirrored = dataclasses.replace(video, label=MIRRORED_ACTIONS[label], mirrored=True)
    np.testing.assert_array_equal(whole(mirrored), whole(video)[:, :, ::-1])
    swapped = rendered_figures(1).mirrored_joints
    expected = all_joints(video)[:, swapped]
    expected[..., 0] = 60 - expected[..., 0]
    np.testing.assert_array_equal(all_joints(mirrored), expected)


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (90, 20), (224, 224)])
def test_a_frame_is_the_same_alone_and_among_others(size: tuple[int, int]) -> None:
    video = FigureVideo(2, 5, size=size, frame_count=14, fps=6, **EVERYTHING)
    frames, joints = whole(video), all_joints(video)
    for indices in ([0], [13], [2, 3, 5], [0, 0, 7, 7, 7, 12], range(4, 11)):
        np.testing.assert_array_equal(video.read(indices), frames[list(indices)])
        np.testing.assert_array_equal(video.joints(indices), joints[list(indices)])
    assert video.read([]).shape == (0, *size, 3)
    assert video.joints([]).shape == (0, 17, 3)


def test_many_frames_are_painted_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    video = FigureVideo(5, 2, frame_count=11, **EVERYTHING)
    at_once = whole(video)
    monkeypatch.setattr(figures, "_CHUNK", 3 * 64 * 64 * 4)
    np.testing.assert_array_equal(whole(video), at_once)


def test_another_process_renders_the_same() -> None:
    def digest() -> str:
        video = FigureVideo(7, 6, seed=9, size=(50, 70), frame_count=8, **EVERYTHING)
        return hashlib.sha256(whole(video).tobytes() + all_joints(video).tobytes()).hexdigest()

    script = (
        "import hashlib\n"
        "from mpvn.data.rendered.figures import FigureVideo\n"
        "video = FigureVideo(7, 6, seed=9, size=(50, 70), frame_count=8,\n"
        "                    objects=2, occlusion=True, cuts=True)\n"
        "frames, joints = video.read(range(8)), video.joints(range(8))\n"
        "print(hashlib.sha256(frames.tobytes() + joints.tobytes()).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest()


def test_left_and_right_joints_are_on_limbs_of_their_own_colors() -> None:
    agreeing = []
    for video in rendered_figures(60, size=(160, 160)).videos:
        frames, joints = video.read(range(0, 32, 4)), video.joints(range(0, 32, 4))
        knees = [np.median(at(frames, joints, f"{s}_knee"), 0) for s in ("left", "right")]
        hues = np.array([knee / np.linalg.norm(knee) for knee in knees])  # [2, 3]
        assert hues[0] @ hues[1] < 0.95  # Far apart, whatever the light.
        for side, name in enumerate(("left", "right")):
            for part in ("elbow", "wrist", "knee", "ankle"):
                color = at(frames, joints, f"{name}_{part}")
                color /= np.linalg.norm(color, axis=-1, keepdims=True)
                near = color @ hues.T  # [frames, 2]
                agreeing += list((near.argmax(-1) == side) & (near[:, side] > 0.985))
    # The rest: arms that cross before a joint.
    assert np.mean(agreeing) > 0.98


@pytest.mark.parametrize("label", [0, 2, 6, 8])  # A windmill's arms may pass before the face.
@pytest.mark.parametrize("eye", ["left_eye", "right_eye"])
def test_joints_are_exact_to_a_fraction_of_a_pixel(label: int, eye: str) -> None:
    video = FigureVideo(label, label, size=(448, 448))
    (frame,), (x, y) = video.read([0]).astype(float), place(video.joints([0]), eye)[0]
    rows, columns = (slice(int(center) - 7, int(center) + 8) for center in (y, x))
    window = frame[rows, columns].mean(-1)
    down, right = np.nonzero(window < (window.min() + np.median(window)) / 2)  # The eye is dark.
    assert right.mean() + columns.start == pytest.approx(x, abs=0.25)
    assert down.mean() + rows.start == pytest.approx(y, abs=0.25)


def test_the_figure_faces_us() -> None:
    for video in rendered_figures(20).videos:
        joints = all_joints(video)
        for part in ("eye", "ear", "shoulder", "hip", "knee", "ankle"):
            assert (place(joints, f"left_{part}") > place(joints, f"right_{part}"))[:, 0].all()


def test_joints_outside_the_frame_are_not_visible() -> None:
    joints = np.stack([all_joints(video) for video in rendered_figures(400).videos])
    inside = ((joints[..., :2] >= -0.5) & (joints[..., :2] < 63.5)).all(-1)
    assert 0 < (~inside).mean() < 0.01
    np.testing.assert_array_equal(joints[..., 2], inside)


def test_the_post_hides_what_is_behind_it() -> None:
    hidden, seen = [], []
    for index in range(10):
        video = FigureVideo(index, index, size=(160, 160), frame_count=16, fps=6.25)
        passed = dataclasses.replace(video, occlusion=True)
        frames, joints = whole(video), all_joints(video)
        with_post, visible = whole(passed), all_joints(passed)[..., 2] == 1
        np.testing.assert_array_equal(all_joints(passed)[..., :2], joints[..., :2])
        assert not visible.all()
        for number, name in enumerate(COCO_JOINTS):
            same = (at(with_post, joints, name) == at(frames, joints, name)).all(-1)
            hidden += list(~same[~visible[:, number]])
            seen += list(same[visible[:, number]])
    assert np.mean(hidden) > 0.99
    assert np.mean(seen) > 0.97  # The rest is at the edge of the post.


def test_distractors_move_behind_the_figure_and_leave_it_alone() -> None:
    video = FigureVideo(4, 1, size=(96, 96))
    crowded = dataclasses.replace(video, objects=4)
    np.testing.assert_array_equal(all_joints(crowded), all_joints(video))
    changed = (whole(crowded) != whole(video)).any(-1)  # [frames, H, W]
    assert 0.01 < changed.mean() < 0.25
    assert (changed[0] != changed[-1]).any()
    for name in ("left_knee", "right_knee", "nose"):
        assert (
            at(whole(crowded), all_joints(video), name) == at(whole(video), all_joints(video), name)
        ).all()


def test_the_scene_is_cut_while_the_action_goes_on() -> None:
    for index in range(10):
        video = FigureVideo(index, index)
        cut = dataclasses.replace(video, cuts=True)
        steps = np.abs(np.diff(whole(cut).astype(float), axis=0)).mean((1, 2, 3))
        smooth = np.abs(np.diff(whole(video).astype(float), axis=0)).mean((1, 2, 3))
        assert 1 <= (steps > 3 * smooth.max()).sum() <= 4

        def posture(video: FigureVideo) -> np.ndarray:
            """Joints from the middle of the hips, in lengths of the torso."""
            joints = all_joints(video)
            hips, shoulders = between(joints, "hip"), between(joints, "shoulder")
            torso = np.linalg.norm(hips - shoulders, axis=-1)[:, None, None]
            return (joints[..., :2] - hips[:, None]) / torso

        np.testing.assert_allclose(posture(cut), posture(video), atol=1e-4)
        assert np.ptp(all_joints(cut)[..., :2] - all_joints(video)[..., :2]) > 1


def test_motion_is_smooth() -> None:
    for video in rendered_figures(20).videos:
        joints = all_joints(video)[..., :2]
        assert np.abs(np.diff(joints, axis=0)).max() < 11  # Of 64 pixels; a clap is the fastest.
        steps = np.abs(np.diff(whole(video).astype(float), axis=0)).mean((1, 2, 3))
        assert steps.min() > 0.2 and steps.max() < 12


def test_hands_clap_to_the_last_frame() -> None:
    """The last two frames once showed the hands at the same place: the time between them was
    counted before the first frame instead."""
    for index in range(10):
        joints = all_joints(FigureVideo(8, index))
        hands = place(joints, "left_wrist") - place(joints, "right_wrist")
        moved = np.abs(np.diff(hands[:, 0]))
        assert moved[-1] > 0.02 * moved.max()


def test_a_long_video_goes_on_acting() -> None:
    for label in range(10):
        joints = all_joints(FigureVideo(label, label, frame_count=500))
        for start in range(0, 500, 100):
            moved = np.ptp(joints[start : start + 100, LEFT + RIGHT, :2], axis=0)
            assert moved.max() > 6
        assert joints[..., 2].mean() > 0.97


@pytest.mark.parametrize(("label", "sign"), [(6, 1), (7, -1)], ids=["down", "up"])
def test_repeated_squats_go_their_way_most_of_the_time(label: int, sign: int) -> None:
    for index in range(5):
        joints = all_joints(FigureVideo(label, index, frame_count=500))
        moving = np.diff(between(joints, "hip")[:, 1])
        assert 0.7 < (sign * moving > 0).mean() < 0.9


def test_the_size_changes_nothing_but_the_scale() -> None:
    small, large = (FigureVideo(2, 7, size=(n, n), **EVERYTHING) for n in (64, 192))
    from_corner = [all_joints(video)[..., :2] + 0.5 for video in (small, large)]
    np.testing.assert_allclose(3 * from_corner[0], from_corner[1], atol=1e-3)
    shrunk = large.read([3, 20]).reshape(2, 64, 3, 64, 3, 3).mean((2, 4))
    assert np.abs(shrunk - small.read([3, 20])).mean() < 3


@pytest.mark.parametrize("size", [(1, 1), (8, 200), (200, 8)])
@pytest.mark.parametrize("frames", [1, 2, 30])
def test_any_size_and_length(size: tuple[int, int], frames: int) -> None:
    for video in rendered_figures(10, size=size, frames=frames, **EVERYTHING).videos:
        assert whole(video).shape == (frames, *size, 3)
        assert whole(video).dtype == np.uint8
        assert all_joints(video).shape == (frames, 17, 3)
        assert all_joints(video).dtype == np.float32
        assert np.isfinite(all_joints(video)).all()


def test_labels_are_balanced_and_so_are_mirror_images() -> None:
    videos = rendered_figures(40).videos
    assert Counter((video.label, video.mirrored) for video in videos) == {
        (label, mirrored): 2 for label in range(10) for mirrored in (False, True)
    }
    counts = Counter(video.label for video in rendered_figures(23).videos).values()
    assert max(counts) - min(counts) <= 1


def test_no_two_videos_are_the_same_in_any_split_or_seed() -> None:
    sets = [rendered_figures(20, seed=seed, split=split) for split in SPLITS for seed in (0, 1)]
    videos = [video for each in sets for video in each.videos]
    assert len({video.read([7]).tobytes() for video in videos}) == len(videos)
    assert len({video.joints([7]).tobytes() for video in videos}) == len(videos)
    assert len({video.name for video in videos}) == len(videos)


def test_a_longer_set_begins_with_the_same_videos() -> None:
    short, long = rendered_figures(7, seed=2), rendered_figures(12, seed=2)
    assert tuple(long.videos[:7]) == tuple(short.videos)


def test_the_set_names_classes_and_joints() -> None:
    videos = rendered_figures(3, frames=20, fps=10, size=(40, 50), split="test")
    assert isinstance(videos, VideoSet)
    assert (videos.classes, videos.joints) == (ACTIONS, COCO_JOINTS)
    assert videos.mirrored_labels == MIRRORED_ACTIONS
    video = videos.videos[2]
    assert (video.label, video.frame_count, video.fps) == (2, 20, 10)
    assert "test" in videos.name and "walk_left" in video.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count: expected a whole number, 1 or more. Received: 0"),
        ({"frames": 0}, "frames: expected a whole number, 1 or more. Received: 0"),
        ({"frames": 2.5}, "frames: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number, 0 or more. Received: -1"),
        ({"objects": -2}, "objects: expected a whole number, 0 or more. Received: -2"),
        ({"size": (64,)}, r"size: expected a tuple \(height, width\). Received: \(64,\)"),
        ({"size": [64, 64]}, "size: expected a tuple"),
        ({"size": (64, 0)}, "width in size: expected a whole number, 1 or more. Received: 0"),
        ({"fps": 0}, "fps: expected a positive number"),
        ({"fps": float("nan")}, "fps: expected a positive number"),
        ({"split": "val"}, "split: expected one of .*validation.* Received: 'val'"),
    ],
)
def test_impossible_arguments_fail_at_the_call(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rendered_figures(**{"count": 4, **arguments})


def test_impossible_labels_and_frames_are_told() -> None:
    with pytest.raises(ValueError, match="label: expected 0 to 9.*Received: 10"):
        FigureVideo(10)
    video = FigureVideo(1, 4, frame_count=5)
    for wrong in (5, -1):
        with pytest.raises(IndexError, match=f"arm_down: expected frames in 0 to 4.*: {wrong}"):
            video.read([0, wrong])
        with pytest.raises(IndexError, match="expected frames in 0 to 4"):
            video.joints([wrong])


def test_the_data_set_of_tensorflow_datasets_holds_the_same_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # Where it leaves folders behind.
    from mpvn.data.sets.rendered_figures import RenderedFigures, RenderedFiguresConfig

    assert set(RenderedFigures.builder_configs) == {"small", "large"}
    config = RenderedFiguresConfig(
        name="tiny", size=(24, 32), frames=3, cuts=True, videos={"train": 4, "test": 2}
    )
    builder = RenderedFigures(config=config, data_dir=tmp_path)
    builder.download_and_prepare()
    assert builder.info.features["label"].names == list(ACTIONS)
    for split, count in config.videos.items():
        stored = sorted(
            tfds.as_numpy(builder.as_dataset(split=split)), key=lambda example: example["label"]
        )
        drawn = rendered_figures(count, size=(24, 32), frames=3, cuts=True, split=split).videos
        for example, video in zip(stored, drawn, strict=True):
            np.testing.assert_array_equal(example["video"], whole(video))
            np.testing.assert_array_equal(example["joints"], all_joints(video))
            assert (example["label"], example["fps"]) == (video.label, video.fps)


def test_without_directions_a_pair_is_one_class() -> None:
    directed, either = (rendered_figures(20, directions=asked) for asked in (True, False))
    assert either.classes == UNDIRECTED_ACTIONS and len(either.classes) == 5
    assert [video.label for video in either.videos] == [n % 10 // 2 for n in range(20)]
    for one, other in zip(directed.videos[:4], either.videos[:4], strict=True):
        np.testing.assert_array_equal(one.read([0, 9]), other.read([0, 9]))
        np.testing.assert_array_equal(one.joints([0, 9]), other.joints([0, 9]))
