"""The data sets by name, for commands and configs."""

import functools
import types
from collections.abc import Callable, Mapping

from mpvn.data.rendered.figures import rendered_figures
from mpvn.data.sets.cater import cater
from mpvn.data.sets.charades import charades
from mpvn.data.sets.folder import folder
from mpvn.data.sets.hmdb51 import hmdb51
from mpvn.data.sets.jester import jester
from mpvn.data.sets.jhmdb import jhmdb
from mpvn.data.sets.keypoint_videos import keypoint_videos
from mpvn.data.sets.kinetics import kinetics
from mpvn.data.sets.posetrack import posetrack
from mpvn.data.sets.something_something import something_something
from mpvn.data.sets.table import table
from mpvn.data.sets.ucf101 import ucf101
from mpvn.data.video_set import VideoSet

SETS: Mapping[str, Callable[..., VideoSet]] = types.MappingProxyType(
    {
        "rendered_figures": rendered_figures,
        "cater": cater,
        "charades": charades,
        "csv": table,
        "folder": folder,
        "hmdb51": hmdb51,
        "jester": jester,
        "jhmdb": jhmdb,
        "keypoint_videos": keypoint_videos,
        "kinetics400": functools.partial(kinetics, classes=400),
        "kinetics600": functools.partial(kinetics, classes=600),
        "mini_kinetics": functools.partial(kinetics, classes=400, mini=True),
        "posetrack": posetrack,
        "something_something_v1": functools.partial(something_something, version=1),
        "something_something_v2": functools.partial(something_something, version=2),
        "ucf101": ucf101,
    }
)
"""Functions that return a `VideoSet`, by the name of the data set.

Each takes the path of the data, then options such as `split`; its docstring lists them.
`rendered_figures` reads no files and takes no path.
"""


_HELD_OUT = {
    "cater": "val",
    "csv": "val",
    "folder": "val",
    "jester": "val",
    "keypoint_videos": "val",
    "kinetics400": "val",
    "kinetics600": "val",
    "mini_kinetics": "val",
    "posetrack": "val",
    "rendered_figures": "validation",
    "something_something_v1": "val",
    "something_something_v2": "val",
}


def held_out_split(name: str) -> str:
    """Return the split of `SETS[name]` that has labels and is not trained on."""
    return _HELD_OUT.get(name, "test")


def needs_path(name: str) -> bool:
    """Return whether `SETS[name]` reads files, and so takes their path as its first argument."""
    return SETS[name] is not rendered_figures
