"""One step of a video network: one frame in, the outputs of this step and the new state out.

    step t   subnetwork 0     subnetwork 1     subnetwork 2       reads
             nodes on clock   nodes on clock   nodes on clock     own values of step t,
             (2, 0) (1, 0)    (2, 1)           (4, 2)             others' of step t-1

    for block in plan:               nodes of one subnetwork on one clock
        if block.clock ticks at t:   else its slots stay as they are
            compute its nodes from values of this step and from slots before it
            shift their outputs into the slots after it

With one number for all streams, blocks that rest are left out of the graph. With a counter for each
stream, a block computes the streams that tick: see `mpvn.executors.rows`.
"""

import tensorflow as tf

from mpvn.executors.prime import start_primed
from mpvn.executors.rows import Rows
from mpvn.executors.run import State
from mpvn.executors.step_run import StepRun
from mpvn.plan import Plan


def step(
    plan: Plan,
    frames: list[tf.Tensor],
    state: State,
    number: int | tf.Tensor,
    training: bool | None = None,
    rematerialize: bool = False,
    start: str = "zeros",
) -> tuple[list[tf.Tensor], State]:
    """Run one step.

    Args:
        plan: the plan to run.
        frames: one tensor `[B, ...]` per input of the frame model.
        state: the slots before the step, `[B, ...]` by name.
        number: number of the step, or of one like it: an int for all streams, or int64 `[B]`, one
            for each.
        training: as in Keras.
        rematerialize: whether to compute blocks again in the backward pass instead of keeping their
            activations.
        start: one of `mpvn.executors.prime.STARTS`.

    Returns:
        One tensor `[B, ...]` per output of the frame model, and the slots after the step.
    """
    if start == "primed":
        state = start_primed(plan, frames, state, number, training, rematerialize)
        number = plan.after_cuts(number)
    run = StepRun(plan, state, training, rematerialize, number)
    for tensor, frame in zip(plan.graph.inputs, frames, strict=True):
        run.put(tensor, frame)
    rows = None if isinstance(number, int) else Rows(run, number)
    for block in plan.blocks:
        if rows:
            rows.run_block(block)
        elif plan.clock(block[0]).ticks(number):
            run.run(block)
    return run.outputs(), run.state_after()
