"""Video in and out, data sets of videos, and clips of them for training.

What is named here does not import TensorFlow: frames are NumPy arrays `uint8 [height, width, 3]`,
RGB. Readers of data sets are in `mpvn.data.sets`, clips for training in `mpvn.data.clips.pipeline`.
"""

from mpvn.data.rendered.figures import rendered_figures
from mpvn.data.sets.flow import optical_flow
from mpvn.data.video.live import LiveSource
from mpvn.data.video.reader import VideoError, VideoReader
from mpvn.data.video.writer import VideoWriter, draw_text
from mpvn.data.video_set import Video, VideoSet

__all__ = [
    "LiveSource",
    "Video",
    "VideoError",
    "VideoReader",
    "VideoSet",
    "VideoWriter",
    "draw_text",
    "optical_flow",
    "rendered_figures",
]
