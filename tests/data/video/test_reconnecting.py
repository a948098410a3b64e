"""Live sources that are lost: they come back or raise an error, and no frame comes twice."""

import threading
import time
import warnings
from pathlib import Path

import pytest
from servers import Answer, serving
from video_files import encode, gray, indices, level

from mpvn.data import ConnectionLost, LiveSource, VideoError, VideoReader

FIRST, SECOND = range(12), range(20, 32)


def part(folder: Path, frames: range, name: str = "a.ts", **options: object) -> bytes:
    return encode(folder / name, map(gray, frames), **options).read_bytes()  # type: ignore[arg-type]


def test_the_frames_of_a_new_connection_follow_in_time(tmp_path: Path) -> None:
    """The clock of a sender that starts again began at 0."""
    raw = [Answer(part(tmp_path, frames), kind="raw") for frames in (FIRST, SECOND)]
    with serving(*raw) as server:
        video = VideoReader(server.url("tcp"), live=True, reconnect=5)
        with video, pytest.warns(RuntimeWarning, match=r"after 0.48 s of video. Attempt 1 to"):
            timed = []
            for item in video.timed():
                timed.append(item)
                if len(timed) == 24:
                    break
    assert indices(frame for _, frame in timed) == [*FIRST, *SECOND]
    assert [seconds for seconds, _ in timed] == pytest.approx([i / 25 for i in range(24)])


def test_at_a_rate_no_frame_is_repeated_or_left_out(tmp_path: Path) -> None:
    raw = [Answer(part(tmp_path, frames), kind="raw") for frames in (FIRST, SECOND, SECOND)]
    with serving(*raw) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with VideoReader(server.url("tcp"), fps=25, live=True, reconnect=5) as video:
            shown = indices(frame for frame, _ in zip(video, range(30), strict=False))
    assert shown == [*FIRST, *SECOND, *SECOND][:30]


@pytest.mark.parametrize("reset", [False, True])
def test_a_broadcast_over_http_comes_back_after_several_attempts(
    reset: bool, tmp_path: Path
) -> None:
    content = part(tmp_path, FIRST)
    dead = Answer(b"", kind="raw")
    back = Answer(part(tmp_path, SECOND), kind="chunked")
    cut = Answer(content, len(content) * 9 // 10, kind="chunked", reset=reset)
    with serving(cut, dead, back) as server:
        video = VideoReader(server.url(), live=True, reconnect=5)
        with video, pytest.warns(RuntimeWarning, match="Attempt 2 to open it") as caught:
            shown: list[int] = []
            for frame in video:
                shown += indices([frame])
                if shown[-1] == SECOND[-1]:
                    break
    before = [index for index in shown if index in FIRST]
    assert before[:6] == list(FIRST)[:6]
    assert before == sorted(set(before))  # of the last ones, some B-frames are missing
    assert shown == [*before, *SECOND]
    assert len(caught) == 1


def test_the_limit_ends_in_an_error(tmp_path: Path) -> None:
    with serving(Answer(part(tmp_path, FIRST), kind="raw")) as server:
        video = VideoReader(server.url("tcp"), live=True, reconnect=0.9)
        with video:
            frames = iter(video)
            first = next(frames)
            server.close()
            started = time.monotonic()
            with pytest.raises(ConnectionLost, match="2 attempts in .* to open it again failed"):
                assert indices([first, *frames]) == list(FIRST)
            assert time.monotonic() - started < 3


def test_without_reconnection_a_loss_is_an_error(tmp_path: Path) -> None:
    with (
        serving(Answer(part(tmp_path, FIRST), kind="raw")) as server,
        VideoReader(server.url("tcp"), live=True, reconnect=0) as video,
        pytest.raises(ConnectionLost, match="none .the sender closed the connection"),
    ):
        list(video)


def test_a_finite_source_is_not_opened_again(tmp_path: Path) -> None:
    with serving(Answer(part(tmp_path, FIRST), kind="raw")) as server:
        with VideoReader(server.url("tcp"), reconnect=5) as video:
            assert not video.is_live
            assert indices(video) == list(FIRST)
        assert server.connections == 1


def test_a_download_of_known_length_ends(tmp_path: Path) -> None:
    with serving(Answer(part(tmp_path, FIRST))) as server:
        with VideoReader(server.url(), live=True, reconnect=5) as video:
            assert indices(video) == list(FIRST)
        assert server.connections == 1


def test_frames_of_another_size_after_a_loss(tmp_path: Path) -> None:
    large = encode(tmp_path / "b.ts", [gray(index, 96, 128) for index in SECOND]).read_bytes()
    answers = [Answer(part(tmp_path, FIRST), kind="raw"), Answer(large, kind="raw")]
    with serving(*answers) as server:
        video = VideoReader(server.url("tcp"), size=(48, 64), live=True, reconnect=5)
        with video, pytest.warns(RuntimeWarning, match="Attempt 1"):
            levels = [frame.mean() for frame, _ in zip(video, range(24), strict=False)]
    assert levels == pytest.approx([level(index) for index in (*FIRST, *SECOND)], abs=3)


def test_closing_between_two_attempts_does_not_wait(tmp_path: Path) -> None:
    with serving(Answer(part(tmp_path, FIRST), kind="raw")) as server:
        reader = VideoReader(server.url("tcp"), live=True, reconnect=60)
        with LiveSource(reader) as live:
            next(live)
            server.close()
            time.sleep(0.5)
            started = time.monotonic()
        assert time.monotonic() - started < 1
    assert not [t for t in threading.enumerate() if t.name in {"mpvn-live", "mpvn-source"}]


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_the_limit_is_a_time(seconds: float, clip: Path) -> None:
    with pytest.raises(VideoError, match="reconnect: expected seconds, 0 or more. Received: "):
        VideoReader(clip, reconnect=seconds)
