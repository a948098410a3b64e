"""Executors: small functions that run a plan.

`step` advances by one frame. `unroll` runs a clip frame after frame, `layerwise` layer after layer.
All of them compute the same values; each takes the state and returns the new one.
"""

from mpvn.executors.layerwise import layerwise
from mpvn.executors.step import step
from mpvn.executors.unroll import unroll

__all__ = ["layerwise", "step", "unroll"]
