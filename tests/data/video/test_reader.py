"""Reading frames: order, times, repeated iteration, memory, closing, real files."""

import csv
import gc
import itertools
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from servers import serving_folder
from video_files import encode, gray, indices, save_image

from mpvn.data import VideoError, VideoReader


def count_live_frames() -> int:
    """Number of FFmpeg frames in memory, without the tiny ones made to read an orientation."""
    return sum(type(each) is VideoFrame and each.height > 2 for each in gc.get_objects())


def test_every_frame_once_and_in_order(clip: Path) -> None:
    with VideoReader(clip) as video:
        frames = list(video)
        assert (video.height, video.width, video.fps) == (48, 64, 25.0)
        assert (video.frame_count, video.duration) == (30, 1.2)
    assert indices(frames) == list(range(30))
    assert all(f.dtype == np.uint8 and f.flags.writeable and f.flags.c_contiguous for f in frames)


def test_frames_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    # Reading the side data of every frame left each frame in a reference cycle: 70 MB per pass.
    clip = encode(tmp_path / "clip.mp4", map(gray, range(60)))
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(60):
        save_image(folder / f"{index}.png", gray(index))
    gc.collect()
    gc.disable()
    try:
        for source in (clip, folder):
            late = itertools.islice(VideoReader(source), 40, None, 19)
            live = [count_live_frames() for _ in late]
            assert len(live) == 2
            assert max(live) < 25  # FFmpeg itself holds one frame per thread, at most 16
    finally:
        gc.enable()


def test_every_third_frame_at_the_rate_of_the_source_and_at_another(clip: Path) -> None:
    with VideoReader(clip, stride=3) as video:
        assert (video.fps, video.frame_count) == (pytest.approx(25 / 3), 10)
        for _ in range(2):
            assert indices(video) == list(range(0, 30, 3))
    with VideoReader(clip, fps=12.5, stride=3) as video:
        assert (video.fps, video.frame_count) == (pytest.approx(12.5 / 3), 5)
        times, frames = zip(*video.timed(), strict=True)
    assert (indices(frames), times) == (
        [0, 6, 12, 18, 24],
        pytest.approx([0, 0.24, 0.48, 0.72, 0.96]),
    )
    with pytest.raises(VideoError, match="stride: expected an int of at least 1. Received: 0"):
        VideoReader(clip, stride=0)


def test_iterating_again_restarts(clip: Path) -> None:
    with VideoReader(clip) as video:
        iterator = iter(video)
        first = [next(iterator) for _ in range(3)]
        assert indices(video) == list(range(30))
        assert indices([*first, *iterator]) == list(range(30))


def test_times_are_relative_to_the_first_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mkv", map(gray, range(3)), times=[500, 540, 740])
    with VideoReader(path) as video:
        assert [time for time, _ in video.timed()] == pytest.approx([0, 0.04, 0.24])


def test_a_closed_reader_raises(clip: Path) -> None:
    with VideoReader(clip) as video:
        iterator = iter(video)
        next(iterator)
    with pytest.raises(VideoError, match="expected an open reader"):
        next(iterator)
    with pytest.raises(VideoError, match="expected an open reader"):
        list(video)


def test_file_names_are_not_read_as_protocols_or_patterns(clip: Path) -> None:
    for name in ("http:a.mp4", "take%02d.mp4", "camera 1.mp4", "a#b?c=d.mp4"):
        assert indices(VideoReader(clip.rename(clip.with_name(name)))) == list(range(30))
        clip = clip.with_name(name)


def test_file_behind_a_url(clip: Path) -> None:
    with serving_folder(clip.parent) as address:
        with VideoReader(f"{address}/{clip.name}") as video:
            assert indices(video) == list(range(30))
        with pytest.raises(VideoError, match="404"):
            VideoReader(f"{address}/none.mp4")


def test_real_clips(shared: Path) -> None:
    clips = shared / "clips"
    with (clips / "MANIFEST.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].startswith("stream/")]
    assert rows
    for row in rows:
        with VideoReader(clips / row["file"], size=(36, 64), strict=True) as video:
            assert video.fps == pytest.approx(float(row["fps"]), abs=1e-2)
            assert video.frame_count == int(row["frames"])
            count, brightness = 0, []
            for frame in video:
                assert frame.shape == (36, 64, 3)
                brightness.append(float(frame.mean()))
                count += 1
        assert count == int(row["frames"])
        assert min(brightness) > 20 and max(brightness) < 235


def test_the_rate_can_be_set_when_that_of_the_source_is_known(clip: Path) -> None:
    with VideoReader(clip, stride=4) as video:
        assert video.source_fps == 25
        video.bring_to(12.5)
        assert (video.fps, video.frame_count) == (12.5, 15)
        assert indices(video) == list(range(0, 30, 2))
        video.bring_to(None, stride=3)
        assert (video.fps, video.frame_count) == (pytest.approx(25 / 3), 10)
        assert indices(video) == list(range(0, 30, 3))
        with pytest.raises(VideoError, match="fps: expected a positive number"):
            video.bring_to(0)


def test_a_view_has_the_picture_that_its_frame_is_a_part_of(clip: Path) -> None:
    with VideoReader(clip, size=(16, 16), fps=50) as video, VideoReader(clip) as originals:
        for view, (seconds, original) in zip(video.views(), originals.timed(), strict=False):
            whole = view.whole()
            assert whole is not view.whole()  # The user may draw on it.
            assert (view.part.height, view.part.width, view.part.size) == (48, 48, (16, 16))
            if view.seconds == seconds:
                np.testing.assert_array_equal(whole, original)
        assert view.seconds > 0.5 and indices([whole]) == [int(25 * view.seconds)]
