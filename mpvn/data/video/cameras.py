"""Open cameras of this machine."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import av
import av.device
from av.container import InputContainer

from mpvn.data.video.errors import VideoError
from mpvn.data.video.link import error_reason


def is_camera(source: str) -> bool:
    """Return whether a source names a camera: `/dev/video0`, `camera:0`, or `camera:NAME`."""
    return source.startswith("camera:") or re.fullmatch(r"/dev/video\d+", source) is not None


def open_camera(source: str, timeout: float, options: dict[str, str]) -> InputContainer:
    """Open a camera.

    Args:
        source: `/dev/video0`, `camera:0`, or `camera:NAME`.
        timeout: Seconds to wait for it to open, and for its next data.
        options: FFmpeg options.

    Raises:
        VideoError: It does not open.
    """
    name = source.removeprefix("camera:")
    if sys.platform == "darwin":
        driver, device = "avfoundation", name
        options = {"framerate": "30", **options}  # the driver's default fails on most cameras
    elif sys.platform == "win32":
        driver, device = "dshow", f"video={_windows_camera(name)}"
    else:
        driver, device = "v4l2", f"/dev/video{name}" if name.isdecimal() else name
    try:
        return av.open(device, "r", format=driver, options=options, timeout=timeout)
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            remedy = "Allow this user to use cameras (on Linux: the group 'video')."
        else:
            remedy = "Plug it in, pass one of those found, or close other programs that use it."
        raise VideoError(
            f"{source}: expected a camera that opens. Received: '{error_reason(error)}' from "
            f"{driver} {device!r}. Cameras found: {_cameras(driver) or 'none'}. {remedy}"
        ) from error


def _cameras(driver: str) -> list[str]:
    """Return the names of the cameras of this machine."""
    if driver == "v4l2":
        return sorted(str(path) for path in Path("/dev").glob("video*"))
    return [
        device.description
        for device in av.device.enumerate_input_devices(driver)
        if "video" in device.media_types
    ]


def _windows_camera(name: str) -> str:
    """Return the name of camera number `name`: DirectShow opens cameras by name only."""
    if not name.isdecimal():
        return name
    cameras = _cameras("dshow")
    return cameras[int(name)] if int(name) < len(cameras) else name
