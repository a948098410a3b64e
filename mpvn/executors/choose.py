"""Which executor runs a clip: step by step, or layer by layer.

Both compute the same values, so the choice is about speed and memory, except for batch norm in
training: layer by layer it takes its statistics over the whole clip, as the layers of a 3D network
do; step by step it takes them over each frame.
"""

import types
from collections.abc import Callable, Mapping

import keras

from mpvn.executors.layerwise import layerwise
from mpvn.executors.unroll import unroll
from mpvn.plan import Plan

CLIP_EXECUTORS: Mapping[str, Callable] = types.MappingProxyType(
    {"unroll": unroll, "layerwise": layerwise}
)
"""Functions that run a clip, by name."""

EXECUTORS = ("auto", *CLIP_EXECUTORS)

LAYERWISE_BYTES = 6 * 2**20
"""Largest activation of a clip up to which `"auto"` runs layer by layer; see
benchmarks/streaming."""

_ASSUMED_STEPS = 16  # for clips of unknown length


def check_executor(executor: str, plan: Plan, sideways: bool = False) -> str:
    """Return `executor` if it can run `plan`.

    Args:
        executor: one of `EXECUTORS`.
        plan: the plan to run.
        sideways: whether gradients cross boundaries by Sideways.

    Raises:
        ValueError: the name is unknown, or this executor cannot run the plan.
    """
    if executor not in EXECUTORS:
        raise ValueError(f"Invalid executor. Expected one of {EXECUTORS}. Received: {executor!r}.")
    if executor == "layerwise" and plan.has_feedback:
        raise ValueError(
            'executor="layerwise" cannot run a network with feedback, whose first layer waits for '
            'its last. Set executor="unroll" or "auto".'
        )
    needs_clips = executor == "layerwise" or sideways or not plan.causal
    if plan.graph.batch_size and needs_clips:
        raise ValueError(
            f"{plan.graph.model.name!r} takes batches of {plan.graph.batch_size} only. So its "
            "clips run step by step, because layer by layer time is folded into the batch. "
            f'Received: {_clip_settings(executor, plan, sideways)}. Use executor="auto", '
            'gradient="exact" and causal layers, or build the frame model for any batch size: '
            "keras.Input(shape=...), and -1 for the batch in reshapes."
        )
    if executor == "unroll" and not plan.causal:
        raise ValueError(
            'executor="unroll" cannot run a network that looks into the future. Set '
            'executor="layerwise" or "auto".'
        )
    if executor not in ("auto", "layerwise") and sideways:
        raise ValueError(
            f'executor="{executor}" cannot train with gradient="sideways", which shifts gradients '
            'along the time axis of whole clips. Set executor="layerwise" or "auto", or '
            'gradient="exact".'
        )
    return executor


def _clip_settings(executor: str, plan: Plan, sideways: bool) -> str:
    """Return what makes a network need whole clips, as text."""
    settings = {
        'executor="layerwise"': executor == "layerwise",
        'gradient="sideways"': sideways,
        "layers that look into the future": not plan.causal,
    }
    return ", ".join(name for name, needs in settings.items() if needs)


def choose_executor(
    executor: str,
    plan: Plan,
    batch: int | None,
    steps: int | None,
    training: bool | None = None,
    sideways: bool = False,
) -> str:
    """Return a key of `CLIP_EXECUTORS`: `executor` itself, or the choice of `"auto"`.

    Args:
        executor: one of `EXECUTORS`, as checked by `check_executor`.
        plan: the plan to run.
        batch: number of clips, None if unknown.
        steps: frames of a clip, None if unknown.
        training: as in Keras.
        sideways: whether gradients cross boundaries by Sideways.
    """
    if executor != "auto":
        return executor
    if plan.has_feedback or plan.graph.batch_size:
        return "unroll"
    if sideways or not plan.causal:
        return "layerwise"
    layers = [layer for node in plan.graph.nodes for layer in node.layers]
    if any(getattr(layer, "activity_regularizer", None) for layer in layers):
        return "layerwise"  # unroll cannot collect the losses that layers add
    if training and any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers):
        return "layerwise"  # statistics over the clip, whatever its size, not over each frame
    size = plan.largest_activation * (batch or 1) * (steps or _ASSUMED_STEPS)
    return "layerwise" if size <= LAYERWISE_BYTES else "unroll"
