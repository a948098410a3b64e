"""Video files, data sets of videos, and training clips.

Frames are NumPy arrays `uint8 [height, width, 3]`, RGB. Importing this package does not import
TensorFlow; `mpvn.data.clips`, which builds `tf.data` pipelines of training clips, does.
"""

from mpvn.data.rendered.figures import rendered_figures
from mpvn.data.sets.flow import optical_flow
from mpvn.data.sets.registry import SETS
from mpvn.data.video.errors import ConnectionLost, VideoError
from mpvn.data.video.live import LiveSource
from mpvn.data.video.reader import VideoReader
from mpvn.data.video.text import draw_text
from mpvn.data.video.writer import VideoWriter
from mpvn.data.video_set import Video, VideoSet

__all__ = [
    "SETS",
    "ConnectionLost",
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
