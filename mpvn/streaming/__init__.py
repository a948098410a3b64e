"""Streams: a network over frames, one step per frame, and what a stream reports about its speed.

choice       what runs the steps: the network itself, or a compiled form of it
stream       one stream, or several in one batch, and the time of their steps
statistics   the times of steps, and the age of what the outputs depend on
report       what is told about them, with memory, machine and versions
speeds       frames per second of several networks, measured in turns
benchmark    times of several streams in turns, without the moments when the machine was busy
"""

from mpvn.streaming.choice import RuntimeChoice
from mpvn.streaming.speeds import stream_speeds
from mpvn.streaming.statistics import StreamStatistics
from mpvn.streaming.stream import Batch, Stream, TimedStream, warm_up

__all__ = [
    "Batch",
    "RuntimeChoice",
    "Stream",
    "StreamStatistics",
    "TimedStream",
    "stream_speeds",
    "warm_up",
]
