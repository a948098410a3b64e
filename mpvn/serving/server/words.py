"""What a network says about a frame, and about itself, as JSON for a page.

This JSON is strict: numbers that are not finite are null.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpvn.export.description import describe_plan
from mpvn.plan import Plan
from mpvn.plan.lanes import lane_ages, lane_name
from mpvn.prediction.models import NetworkModel
from mpvn.prediction.predictor import top
from mpvn.serving.units import UnitTime
from mpvn.tasks import overlay
from mpvn.tasks.keypoints import Keypoints

_NAMED = 5  # classes of an answer

Message = dict[str, Any]


def strict_json(message: Message) -> str:
    """Return a message as JSON without NaN."""
    return json.dumps(message, allow_nan=False, separators=(",", ":"))


def hello(model: NetworkModel, name: str, stream_id: int) -> Message:
    """Return what a client must know to send frames, and to show answers."""
    known, task, plan = model.metadata, model.task, model.network.plan
    names = task.names if isinstance(task, Keypoints) else getattr(model.scoring, "names", ())
    return {
        "type": "hello",
        "model": name,
        "stream_id": stream_id,
        "fps": known and known.fps,
        "size": list(model.size),
        "shorter_side": known and known.shorter_side,
        "task": known and known.task,
        "names": list(names),
        "limbs": overlay.limbs(names) if isinstance(task, Keypoints) else [],
        "latency": task.latency if task is not None else 0,
        "period": plan.period,
        "subnetworks": _lanes(plan),
    }


def say(model: NetworkModel, outputs: Any, named: Mapping[str, np.ndarray]) -> Message:
    """Return what a network says about a frame: classes, joints, or its outputs.

    Args:
        model: the network.
        outputs: its outputs of a step, without a batch axis.
        named: the same by name.
    """
    if model.scoring is not None:
        scores = np.asarray(model.scoring.step_scores(outputs))
        shares = np.asarray(model.scoring.shares(scores))
        named_shares = top(model.scoring.names, shares, _NAMED, -math.inf)
        return {"classes": [[name, _number(share)] for name, share in named_shares]}
    if isinstance(model.task, Keypoints):
        joints = model.task.predicted_joints(outputs)[0].numpy()
        height, width = model.size
        # Whole numbers are centers of pixels; 0 and 1 are the edges of the frame.
        places = (joints + [0.5, 0.5, 0.0]) / [width, height, 1.0]
        return {"joints": _nested(places)}
    return {"outputs": {name: _nested(value) for name, value in named.items()}}


def unit_rows(units: Sequence[UnitTime]) -> list[list[Any]]:
    """Return when units ran, in milliseconds."""
    return [
        [unit.subnetwork, unit.name, round(1e3 * unit.start, 3), round(1e3 * unit.end, 3)]
        for unit in units
    ]


def _lanes(plan: Plan) -> list[Message]:
    """Return the subnetworks, and the head, with their clocks and the ages of what they read."""
    described = describe_plan(plan)
    parts = [*described["subnetworks"], *filter(None, [described["head"]])]
    return [
        {"name": lane_name(plan, lane), "clocks": part["clocks"], "ages": lane_ages(plan, lane)}
        for lane, part in enumerate(parts)
    ]


def _nested(value: np.ndarray) -> Any:
    values = np.asarray(value, np.float64)
    if np.isfinite(values).all():
        return values.tolist()
    return np.where(np.isfinite(values), values.astype(object), None).tolist()  # type: ignore[call-overload]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
