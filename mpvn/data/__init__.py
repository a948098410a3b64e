"""Video in and out, data sets of videos, and clips of them for training.

What is named here does not import TensorFlow: frames are NumPy arrays `uint8 [height, width, 3]`,
RGB. Readers of data sets are in `mpvn.data.sets`, clips for training in `mpvn.data.pipeline`.
"""

from mpvn.data.figures import rendered_figures
from mpvn.data.flow import optical_flow
from mpvn.data.live import LiveSource
from mpvn.data.rendered import render_video, write_rendered_video
from mpvn.data.video import VideoError, VideoReader
from mpvn.data.video_set import Video, VideoSet
from mpvn.data.writer import VideoWriter, draw_text

__all__ = [
    "LiveSource",
    "Video",
    "VideoError",
    "VideoReader",
    "VideoSet",
    "VideoWriter",
    "draw_text",
    "optical_flow",
    "render_video",
    "rendered_figures",
    "write_rendered_video",
]
