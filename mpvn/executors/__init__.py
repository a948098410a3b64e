"""Executors: small functions that run a plan.

`step` advances by one frame; `unroll` repeats it along a clip, frame after frame; `sweep` runs a
clip layer after layer: all of them compute the same values. Each takes the state and returns the
new one. For training there are `fused`, Sideways step after step, and `gpipe`, which leaves out the
plan's delays.
"""

from mpvn.executors.gpipe import gpipe
from mpvn.executors.step import step
from mpvn.executors.sweep import sweep
from mpvn.executors.unroll import unroll

__all__ = ["gpipe", "step", "sweep", "unroll"]
