"""Rendering: exact reversals and mirror images, accurate joints, independent options."""

import dataclasses
import hashlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from bare_package import BARE
from figure_checks import (
    EVERYTHING,
    SIDES,
    all_joints,
    color_at,
    position,
    read_all,
)

from mpvn.data.rendered import figure_video
from mpvn.data.rendered.figure_video import (
    ACTIONS,
    MIRRORED_ACTIONS,
    FigureVideo,
)
from mpvn.data.rendered.figures import rendered_figures
from mpvn.data.skeletons import COCO_JOINTS


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("label", range(0, 10, 2), ids=ACTIONS[::2])
def test_the_second_action_of_a_pair_is_the_time_reversal_of_the_first(
    label, mirrored, options
) -> None:
    video = FigureVideo(label, 3, mirrored=mirrored, frame_count=9, fps=5, **options)
    backwards = dataclasses.replace(video, label=label + 1)
    np.testing.assert_array_equal(read_all(backwards), read_all(video)[::-1])
    np.testing.assert_array_equal(all_joints(backwards), all_joints(video)[::-1])
    assert not np.array_equal(read_all(backwards), read_all(video))


@pytest.mark.parametrize("label", range(0, 10, 2), ids=ACTIONS[::2])
def test_both_actions_of_a_pair_have_the_same_frames(label: int) -> None:
    forwards, backwards = (
        Counter(frame.tobytes() for frame in read_all(FigureVideo(label + i, seed=4)))
        for i in (0, 1)
    )
    assert forwards == backwards


@pytest.mark.parametrize("label", range(10), ids=ACTIONS)
def test_a_mirrored_frame_is_a_video_of_the_mirrored_label(label: int) -> None:
    video = FigureVideo(label, 8, size=(48, 61), frame_count=6, **EVERYTHING)
    mirrored = dataclasses.replace(video, label=MIRRORED_ACTIONS[label], mirrored=True)
    np.testing.assert_array_equal(read_all(mirrored), read_all(video)[:, :, ::-1])
    swapped = rendered_figures(1).mirrored_joints
    expected = all_joints(video)[:, swapped]
    expected[..., 0] = 60 - expected[..., 0]
    np.testing.assert_array_equal(all_joints(mirrored), expected)


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (90, 20), (224, 224)])
def test_a_frame_does_not_depend_on_the_other_frames_that_are_read(size: tuple[int, int]) -> None:
    video = FigureVideo(2, 5, size=size, frame_count=14, fps=6, **EVERYTHING)
    frames, joints = read_all(video), all_joints(video)
    for indices in ([0], [13], [2, 3, 5], [0, 0, 7, 7, 7, 12], range(4, 11)):
        np.testing.assert_array_equal(video.read(indices), frames[list(indices)])
        np.testing.assert_array_equal(video.joints(indices)[:, 0], joints[list(indices)])
    assert video.read([]).shape == (0, *size, 3)
    assert video.joints([]).shape == (0, 1, 17, 3)


def test_rendering_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    video = FigureVideo(5, 2, frame_count=11, **EVERYTHING)
    unchunked = read_all(video)
    monkeypatch.setattr(figure_video, "_CHUNK", 3 * 64 * 64 * 4)
    np.testing.assert_array_equal(read_all(video), unchunked)


def test_another_process_renders_the_same_pixels() -> None:
    video = FigureVideo(7, 6, seed=9, size=(50, 70), frame_count=8, **EVERYTHING)
    content = read_all(video).tobytes() + all_joints(video).tobytes()
    script = BARE + (
        "import hashlib\n"
        "from mpvn.data.rendered.figure_video import FigureVideo\n"
        "video = FigureVideo(7, 6, seed=9, size=(50, 70), frame_count=8,\n"
        "                    objects=2, occlusion=True, cuts=True)\n"
        "frames, joints = video.read(range(8)), video.joints(range(8))\n"
        "print(hashlib.sha256(frames.tobytes() + joints.tobytes()).hexdigest())\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == hashlib.sha256(content).hexdigest()


def test_left_and_right_joints_are_on_limbs_of_different_colors() -> None:
    agreeing = []
    for video in rendered_figures(30, size=(160, 160)).videos:
        frames, joints = video.read(range(0, 32, 4)), video.joints(range(0, 32, 4))[:, 0]
        knees = [np.median(color_at(frames, joints, f"{s}_knee"), 0) for s in SIDES]
        hues = np.array([knee / np.linalg.norm(knee) for knee in knees])  # [2, 3]
        assert hues[0] @ hues[1] < 0.95  # far apart in any light
        for side, name in enumerate(SIDES):
            for part in ("elbow", "wrist", "knee", "ankle"):
                color = color_at(frames, joints, f"{name}_{part}")
                color /= np.linalg.norm(color, axis=-1, keepdims=True)
                near = color @ hues.T  # [frames, 2]
                agreeing += list((near.argmax(-1) == side) & (near[:, side] > 0.985))
    # The rest are joints hidden by an arm.
    assert np.mean(agreeing) > 0.98


@pytest.mark.parametrize("label", [0, 2, 6, 8])  # the arms of a windmill may hide the face
@pytest.mark.parametrize("eye", ["left_eye", "right_eye"])
def test_joints_are_accurate_to_a_quarter_of_a_pixel(label: int, eye: str) -> None:
    video = FigureVideo(label, label, size=(448, 448))
    (frame,), (x, y) = video.read([0]).astype(float), position(video.joints([0])[:, 0], eye)[0]
    rows, columns = (slice(int(center) - 7, int(center) + 8) for center in (y, x))
    window = frame[rows, columns].mean(-1)
    down, right = np.nonzero(window < (window.min() + np.median(window)) / 2)  # the eye is dark
    assert right.mean() + columns.start == pytest.approx(x, abs=0.25)
    assert down.mean() + rows.start == pytest.approx(y, abs=0.25)


def test_joints_outside_the_frame_are_not_visible() -> None:
    joints = np.stack([all_joints(video) for video in rendered_figures(400).videos])
    inside = ((joints[..., :2] >= -0.5) & (joints[..., :2] < 63.5)).all(-1)
    assert 0 < (~inside).mean() < 0.01
    np.testing.assert_array_equal(joints[..., 2], inside)


def test_joints_behind_the_post_are_not_visible() -> None:
    hidden, seen = [], []
    for index in range(10):
        video = FigureVideo(index, index, size=(160, 160), frame_count=16, fps=6.25)
        occluded = dataclasses.replace(video, occlusion=True)
        frames, joints = read_all(video), all_joints(video)
        with_post, visible = read_all(occluded), all_joints(occluded)[..., 2] == 1
        np.testing.assert_array_equal(all_joints(occluded)[..., :2], joints[..., :2])
        assert not visible.all()
        for number, name in enumerate(COCO_JOINTS):
            same = (color_at(with_post, joints, name) == color_at(frames, joints, name)).all(-1)
            hidden += list(~same[~visible[:, number]])
            seen += list(same[visible[:, number]])
    assert np.mean(hidden) > 0.99
    assert np.mean(seen) > 0.97  # the rest are at the edge of the post


def test_distractors_move_behind_the_figure() -> None:
    video = FigureVideo(4, 1, size=(96, 96))
    crowded = dataclasses.replace(video, objects=4)
    np.testing.assert_array_equal(all_joints(crowded), all_joints(video))
    changed = (read_all(crowded) != read_all(video)).any(-1)  # [frames, H, W]
    assert 0.01 < changed.mean() < 0.25
    assert (changed[0] != changed[-1]).any()
    for name in ("left_knee", "right_knee", "nose"):
        colors = (color_at(read_all(each), all_joints(video), name) for each in (crowded, video))
        np.testing.assert_array_equal(*colors)


def test_the_size_changes_only_the_scale() -> None:
    small, large = (FigureVideo(2, 7, size=(n, n), **EVERYTHING) for n in (64, 192))
    from_corner = [all_joints(video)[..., :2] + 0.5 for video in (small, large)]
    np.testing.assert_allclose(3 * from_corner[0], from_corner[1], atol=1e-3)
    shrunk = large.read([3, 20]).reshape(2, 64, 3, 64, 3, 3).mean((2, 4))
    assert np.abs(shrunk - small.read([3, 20])).mean() < 3


@pytest.mark.parametrize("size", [(1, 1), (8, 200), (200, 8)])
@pytest.mark.parametrize("frames", [1, 2, 30])
def test_any_size_and_length(size: tuple[int, int], frames: int) -> None:
    for video in rendered_figures(10, size=size, frames=frames, **EVERYTHING).videos:
        assert read_all(video).shape == (frames, *size, 3)
        assert read_all(video).dtype == np.uint8
        assert all_joints(video).shape == (frames, 17, 3)
        assert all_joints(video).dtype == np.float32
        assert np.isfinite(all_joints(video)).all()


def test_invalid_labels_and_frames_raise() -> None:
    with pytest.raises(ValueError, match="label: expected 0 to 9.*Received: 10"):
        FigureVideo(10)
    video = FigureVideo(1, 4, frame_count=5)
    for invalid in (5, -1):
        with pytest.raises(IndexError, match=f"arm_down: expected frames in 0 to 4.*: {invalid}"):
            video.read([0, invalid])
        with pytest.raises(IndexError, match="expected frames in 0 to 4"):
            video.joints([invalid])
