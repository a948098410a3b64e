"""The motion of the figure: each action is recognizable from its joints, smooth and continuous."""

import dataclasses

import numpy as np
import pytest
from figure_checks import (
    LEFT,
    RIGHT,
    all_joints,
    midpoint,
    position,
    read_all,
    recognize_action,
)

from mpvn.data.rendered.figure_video import (
    ACTIONS,
    SPLITS,
    FigureVideo,
)
from mpvn.data.rendered.figures import rendered_figures


@pytest.mark.parametrize("split", SPLITS)
def test_each_video_shows_its_action(split: str) -> None:
    for video in rendered_figures(100, split=split).videos:
        assert recognize_action(all_joints(video)) == ACTIONS[video.label], video


def test_mirrored_joints_show_the_action_of_the_mirrored_label() -> None:
    videos = rendered_figures(40)
    for video in videos.videos:
        joints = all_joints(video)[:, videos.mirrored_joints]
        joints[..., 0] = 63 - joints[..., 0]
        assert recognize_action(joints) == ACTIONS[videos.mirrored_labels[video.label]], video


def test_motion_is_smooth() -> None:
    for video in rendered_figures(20).videos:
        joints = all_joints(video)[..., :2]
        assert np.abs(np.diff(joints, axis=0)).max() < 11  # of 64 pixels; claps are the fastest
        steps = np.abs(np.diff(read_all(video).astype(float), axis=0)).mean((1, 2, 3))
        assert steps.min() > 0.2 and steps.max() < 12


def test_hands_clap_to_the_last_frame() -> None:
    # The hands had the same position in the last two frames: the time between these frames was
    # counted before the first frame instead.
    for index in range(10):
        joints = all_joints(FigureVideo(8, index))
        hands = position(joints, "left_wrist") - position(joints, "right_wrist")
        moved = np.abs(np.diff(hands[:, 0]))
        assert moved[-1] > 0.02 * moved.max()


def test_a_long_video_keeps_moving() -> None:
    for label in range(10):
        joints = all_joints(FigureVideo(label, label, frame_count=500))
        for start in range(0, 500, 100):
            moved = np.ptp(joints[start : start + 100, LEFT + RIGHT, :2], axis=0)
            assert moved.max() > 6
        assert joints[..., 2].mean() > 0.97


@pytest.mark.parametrize(("label", "sign"), [(6, 1), (7, -1)], ids=["down", "up"])
def test_repeated_squats_move_in_their_direction_most_of_the_time(label: int, sign: int) -> None:
    for index in range(5):
        joints = all_joints(FigureVideo(label, index, frame_count=500))
        moving = np.diff(midpoint(joints, "hip")[:, 1])
        assert 0.7 < (sign * moving > 0).mean() < 0.9


def test_the_figure_faces_the_camera() -> None:
    for video in rendered_figures(20).videos:
        joints = all_joints(video)
        for part in ("eye", "ear", "shoulder", "hip", "knee", "ankle"):
            left, right = position(joints, f"left_{part}"), position(joints, f"right_{part}")
            assert (left > right)[:, 0].all()


def test_the_action_continues_across_cuts() -> None:
    for index in range(10):
        video = FigureVideo(index, index)
        cut = dataclasses.replace(video, cuts=True)
        steps = np.abs(np.diff(read_all(cut).astype(float), axis=0)).mean((1, 2, 3))
        smooth = np.abs(np.diff(read_all(video).astype(float), axis=0)).mean((1, 2, 3))
        assert 1 <= (steps > 3 * smooth.max()).sum() <= 4

        def posture(video: FigureVideo) -> np.ndarray:
            """Joints relative to the center of the hips, in lengths of the torso."""
            joints = all_joints(video)
            hips, shoulders = midpoint(joints, "hip"), midpoint(joints, "shoulder")
            torso = np.linalg.norm(hips - shoulders, axis=-1)[:, None, None]
            return (joints[..., :2] - hips[:, None]) / torso

        np.testing.assert_allclose(posture(cut), posture(video), atol=1e-4)
        assert np.ptp(all_joints(cut)[..., :2] - all_joints(video)[..., :2]) > 1
