"""Executors: small functions that run a plan. All of them compute the same values.

`step` advances by one frame; `unroll` repeats it along a clip, frame after frame; `sweep` runs a
clip layer after layer. Each takes the state and returns the new one.
"""

from mpvn.executors.step import step
from mpvn.executors.sweep import sweep
from mpvn.executors.unroll import unroll

__all__ = ["step", "sweep", "unroll"]
