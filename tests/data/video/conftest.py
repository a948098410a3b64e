"""Files that several tests of video read."""

from pathlib import Path

import pytest
from video_files import encode, gray


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Frames 0 to 29 at 25 frames per second, 48x64."""
    return encode(tmp_path / "clip.mp4", map(gray, range(30)))
