"""A video is identified by its content, not by its path."""

from pathlib import Path

import pytest
from moving_textures import MovingTexture

from mpvn.data import VideoError, rendered_figures
from mpvn.data.identity import content_identity, identity
from mpvn.data.sets.files import FileVideo


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 10, 2**18, 2**18 + 1, 2**20])
def test_a_file_is_identified_by_size_and_samples(tmp_path: Path, size: int) -> None:
    content = bytes(size)
    first = content_identity(write(tmp_path / "a/v.mp4", content))
    assert content_identity(write(tmp_path / "b/w.mp4", content)) == first
    assert content_identity(write(tmp_path / "a/v.mp4", content + b"0")) != first
    for place in {0, size - 1, size // 15 * 7 + 9} if size else ():
        changed = bytearray(content)
        changed[place] = 1
        assert content_identity(write(tmp_path / "a/v.mp4", bytes(changed))) != first


def test_images_are_identified_in_their_order(tmp_path: Path) -> None:
    def folder(name: str, *contents: bytes) -> str:
        for number, content in enumerate(contents):
            write(tmp_path / name / f"{number}.png", content)
        return content_identity(tmp_path / name)

    first = folder("a", b"red", b"blue", b"red")
    assert folder("b", b"red", b"blue", b"red") == first
    write(tmp_path / "b" / "cover.txt", b"")
    assert content_identity(tmp_path / "b") == first
    others = {folder("c", b"red", b"red", b"blue"), folder("d", b"red", b"blue")}
    assert len({first, *others, folder("e", b"redb", b"lue", b"red")}) == 4


def test_sections_are_different_videos(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", b"video")
    sections = [{}, {"start": 1}, {"end": 2}, {"start": 1, "end": 2}]
    assert len({FileVideo(path, **section).identity for section in sections}) == 4
    assert FileVideo(path, start=1.0).identity == FileVideo(path, start=1).identity
    with pytest.raises(VideoError, match="none.mp4: expected a video .* No such file"):
        _ = FileVideo(tmp_path / "none.mp4").identity


def test_videos_that_are_no_files_are_identified_by_frames() -> None:
    names = [identity(video) for size in (16, 17) for video in figures(size)]
    assert len(set(names)) == 4
    assert names == [identity(video) for size in (16, 17) for video in figures(size)]
    assert identity(MovingTexture()) != identity(MovingTexture(mirrored=True))


def figures(size: int) -> list:
    return list(rendered_figures(2, size=(size, 16), frames=3).videos)
