"""Video in and out: files, image folders, cameras and streams; our own rendered default video.

Nothing here imports TensorFlow: frames are NumPy arrays `uint8 [height, width, 3]`, RGB.
"""

from mpvn.data.live import LiveSource
from mpvn.data.rendered import render_video, write_rendered_video
from mpvn.data.video import VideoError, VideoReader
from mpvn.data.writer import VideoWriter, draw_text

__all__ = [
    "LiveSource",
    "VideoError",
    "VideoReader",
    "VideoWriter",
    "draw_text",
    "render_video",
    "write_rendered_video",
]
