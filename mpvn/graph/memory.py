"""Which layers read the past of a stream, and which remember it in variables, as none should.

Each stream has its own past, and a layer has one set of variables for all of them. So a stateful
RNN, a counter or a running mean is refused: what a frame gives must not depend on the frames that
the layer saw before. Random seeds are no memory, nor are variables that change but that no output
depends on, such as those of a metric.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_layers.feedback import Feedback
from keras_layers.recurrent import RecurrentLayer
from keras_layers.temporal import is_temporal
from mpvn.graph.probe import close

Values = Iterable[tuple[keras.Variable, Any]]


def reads_past(operation: object) -> bool:
    """Return whether `operation` needs earlier values of its stream, which executors keep."""
    return isinstance(operation, (Feedback, RecurrentLayer)) or is_temporal(operation)


class TrialScope(keras.StatelessScope):
    """A scope in which a node is tried out: no variable and no random seed changes.

    Args:
        values: values of some variables in the scope.

    Attributes:
        assigned: the variables that were assigned, by id.
    """

    def __init__(self, values: Values = ()) -> None:
        super().__init__(list(values))
        self.assigned: dict[int, keras.Variable] = {}

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        variable, _ = update
        self.assigned[id(variable)] = variable
        super().add_update(update)


def remembering_variables(
    call: Callable[[TrialScope], list[np.ndarray]],
    values: Values,
    scope: TrialScope,
    outputs: list[np.ndarray],
) -> list[str]:
    """Return the paths of the variables through which a call changes the next one.

    Args:
        call: runs the node in a scope.
        values: values of variables before the first call.
        scope: the scope of the first call.
        outputs: what it returned.
    """
    changed = [v for v in scope.assigned.values() if "seed_generator" not in v.path]
    if not changed:
        return []
    kept = [(variable, value) for variable, value in values if id(variable) not in scope.assigned]
    later = [(variable, scope.get_current_value(variable)) for variable in changed]
    again = call(TrialScope([*kept, *later]))
    if all(np.all(close(a, b, 1e-6)) for a, b in zip(again, outputs, strict=True)):
        return []
    return [variable.path for variable in changed]
