"""Executors: functions that run a plan; each takes a state and returns the new one.

    step         one frame
    unroll       a clip, step by step
    layerwise    a clip, layer by layer

All compute the same values. `choose` says which of the last two runs a clip. `prime` computes the
state from a first frame.
"""

from mpvn.executors.layerwise import layerwise
from mpvn.executors.prime import prime, start_primed
from mpvn.executors.step import step
from mpvn.executors.unroll import unroll

__all__ = ["layerwise", "prime", "start_primed", "step", "unroll"]
