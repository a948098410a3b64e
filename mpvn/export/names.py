"""Names of inputs and outputs in an exported file.

A tensor under keys of dicts is called by its keys, joined by underscores: `{"head": {"box": x}}` is
`head_box`. Other tensors are called like the input layer or the node that produces them. Then:

- Characters other than letters, digits and underscores become underscores. Input names are ASCII.
- TensorFlow's Python loader takes inputs as keyword arguments. So `self` and keywords of Python get
  an underscore at the end (`self_`, `class_`), and an input name begins with a letter: underscores
  in front are dropped, and a name that begins with a digit, or is empty, gets `input_` in front.
- A name that is taken gets a number: `dense`, `dense_1`. Taken are the names of states, what our
  signatures call tensors of their own (`OWN`), and names that another tensor has without any
  change. An output has the name of no input. Input names also differ regardless of case, because
  TensorFlow's graphs do not tell cases apart.

A state that goes in as `x` goes out as `next_x`: converters of other formats do not tell an input
from an output of the same name. No other output is called `next_x` for an input `x`, so clients
know the states by their names.

The names depend on the model and the names of the states alone, so they are those of every format.
"""

import itertools
import keyword
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras

from mpvn.graph.data import Graph
from mpvn.state import STEP

STREAM = "stream_id"
STEPS = "steps"
BATCH_SIZE = "batch_size"
OWN = (STREAM, STEPS, BATCH_SIZE)
"""Names of tensors that belong to signatures, not to networks."""


class Names(NamedTuple):
    """The names of a network's tensors in exported files.

    Attributes:
        inputs: the original name of each input by its name.
        outputs: the same for outputs.
        states: the name with which each state goes out by the name with which it goes in, the step
            counter first.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]
    states: dict[str, str]

    def free(self, wish: str) -> str:
        """Return a name that no tensor has: `wish`, or `wish` with a number."""
        taken = {*self.inputs, *self.outputs, *self.states, *self.states.values(), *OWN}
        numbered = (f"{wish}_{number}" for number in itertools.count(1))
        return next(name for name in itertools.chain([wish], numbered) if name not in taken)


def network_names(network: keras.Model) -> Names:
    """Return the names of the tensors of a `VideoNetwork`. One that cannot stream has no states."""
    slots = (STEP, *network.plan.histories.specs) if network.plan.causal else ()
    states = {name: f"next_{name}" for name in slots}
    taken = (*states, *states.values(), *OWN)
    inputs = input_names(network.graph, taken)
    taken = (*taken, *inputs, *(f"next_{name}" for name in inputs))
    return Names(inputs, output_names(network.graph, taken), states)


def input_names(graph: Graph, taken: Iterable[str]) -> dict[str, str]:
    """Return the original name of each input by its unique name, which is not in `taken`."""
    wishes = _wishes(graph, graph.inputs, graph.input_structure)
    return _unique(wishes, _argument_name, taken, str.lower)


def output_names(graph: Graph, taken: Iterable[str]) -> dict[str, str]:
    """Return the original name of each output by its unique name, which is not in `taken`."""
    structure = graph.pack_outputs(list(range(len(graph.model_outputs))))
    return _unique(_wishes(graph, graph.model_outputs, structure), _result_name, taken, str)


def _wishes(graph: Graph, tensors: Iterable[int], structure: Any) -> list[str]:
    """Return the keys of each tensor in `structure`, joined by slashes, or the producer's name."""
    names = []
    for (path, _), index in zip(keras.tree.flatten_with_path(structure), tensors, strict=True):
        keys = [key for key in path if isinstance(key, str)]
        names.append("/".join(keys) if keys else graph.tensors[index].name)
    return names


def _result_name(wish: str) -> str:
    return re.sub(r"\W", "_", wish) or "output"


def _argument_name(wish: str) -> str:
    name = re.sub(r"\W", "_", wish, flags=re.ASCII).lstrip("_")
    if not name[:1].isalpha():
        name = f"input_{name}".rstrip("_")
    return f"{name}_" if name == "self" or keyword.iskeyword(name) else name


def _unique(
    wishes: list[str],
    valid: Callable[[str], str],
    taken: Iterable[str],
    fold: Callable[[str], str],
) -> dict[str, str]:
    """Return the wish of each tensor by its name, in the order of `wishes`.

    Args:
        wishes: The original names.
        valid: Returns the valid name that is closest to a wish.
        taken: Names that no tensor may have.
        fold: Returns what must differ between two names.
    """
    names = [valid(wish) for wish in wishes]
    used = {fold(name) for name in taken}
    wanted = used | {fold(name) for name in names}
    # Names that are valid as they are come first, so that they stay as they are.
    for i in sorted(range(len(names)), key=lambda i: names[i] != wishes[i]):
        if fold(names[i]) in used:
            numbered = (f"{names[i]}_{number}" for number in itertools.count(1))
            names[i] = next(name for name in numbered if fold(name) not in wanted)
        used.add(fold(names[i]))
        wanted.add(fold(names[i]))
    return dict(zip(names, wishes, strict=True))
