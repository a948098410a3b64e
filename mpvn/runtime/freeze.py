"""Frozen units: graphs whose weights are constants.

Values that a unit only passes on are not computed: `same` says where they come from. So a history
of frames, or the output of a `Feedback` layer, costs nothing.
"""

import dataclasses
import functools
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_layers.pure_call import DiscardedUpdates
from mpvn.executors.run import Place
from mpvn.runtime.graphs import fingerprint, import_function, place_constants
from mpvn.runtime.specs import Specs, place_specs
from mpvn.runtime.unit import Unit


@dataclasses.dataclass(frozen=True, eq=False)
class Frozen:
    """A unit as a function of tensors, without variables.

    Attributes:
        unit: the unit.
        function: a concrete function from tensors `[B, ...]` to a list of them; None if nothing is
            computed.
        entering: the places of the function's arguments.
        leaving: the places of its results.
        same: for each other place that the unit fills, the place of the same value: one of
            `leaving`, or one that the unit reads.
    """

    unit: Unit
    function: Any
    entering: tuple[Place, ...]
    leaving: tuple[Place, ...]
    same: dict[Place, Place]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of what the function computes."""
        return fingerprint(self.function)


def freeze(unit: Unit, handover: Specs, batch: int | None = None) -> Frozen:
    """Trace a unit with the present weights as constants.

    Args:
        unit: the unit.
        handover: the specs in which units hand over values.
        batch: number of streams; None for any.

    Raises:
        ValueError: a layer changes a variable in inference.
    """
    native = place_specs(unit.plan, batch=batch)
    same: dict[Place, Place] = {}
    leaving: dict[Place, tf.Tensor] = {}

    def compute(*tensors: tf.Tensor) -> list[tf.Tensor]:
        same.clear()
        leaving.clear()
        found = dict(zip(unit.entering, tensors, strict=True))
        for place, value in zip(unit.leaving, unit.compute(list(tensors)), strict=True):
            twins = (p for p, x in found.items() if x is value and handover[p] == handover[place])
            twin = next(twins, None)
            if twin is None:
                found[place] = leaving[place] = value
            else:
                same[place] = twin
        unit.plan.graph.pop_losses()  # symbolic tensors, which are invalid outside this trace
        return list(leaving.values())

    signature = [native[place] for place in unit.entering]
    with _Updates() as updates:
        traced = tf.function(compute, autograph=False, input_signature=signature)
        concrete = traced.get_concrete_function()
    _refuse_changes(unit, updates.variables, concrete.graph)
    if not leaving:
        return Frozen(unit, None, (), (), same)
    constant = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    if len(constant.inputs) > len(unit.entering):
        raise ValueError(
            f"Cannot compile {unit.plan.graph.model.name!r}: {unit.name!r} reads something that is "
            "neither a tensor nor a variable, such as a lookup table. Use network.step."
        )
    inputs = {x.op.name: place for x, place in zip(constant.inputs, unit.entering, strict=True)}
    used = {x.op.name: native[inputs[x.op.name]] for x in constant.inputs if x.consumers()}
    definition = constant.graph.as_graph_def()
    place_constants(definition)
    function = import_function(definition, used, [*inputs], [x.name for x in constant.outputs])
    return Frozen(unit, function, tuple(inputs[name] for name in used), tuple(leaving), same)


class _Updates(DiscardedUpdates):
    """A scope that lists the variables that layers assign.

    Attributes:
        variables: their paths.
    """

    def __init__(self) -> None:
        super().__init__()
        self.variables: list[str] = []

    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        self.variables.append(update[0].path)
        super().add_update(update)


def _refuse_changes(unit: Unit, variables: list[str], graph: tf.Graph) -> None:
    """Raise ValueError if layers assigned `variables`, or if `graph` assigns others."""
    definition = graph.as_graph_def()
    functions = (node for function in definition.library.function for node in function.node_def)
    others = (node.name for node in (*definition.node, *functions) if "Assign" in node.op)
    assigned = [*variables, *others]
    if assigned:
        raise ValueError(
            f"Cannot compile {unit.plan.graph.model.name!r}: in a compiled network, variables are "
            "constants. Expected layers that only read their variables in inference. Received: "
            f"{unit.name!r}, which assigns {', '.join(assigned[:3])}. Use network.step."
        )
