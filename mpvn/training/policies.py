"""Named settings of the learning rate and the weight decay of single weights.

    policy "tsm"                            rate        decays
    kernels                                 1           yes
    biases                                  2           no
    scales and shifts of normalizations     1           no
    kernels of the classifier               5           yes
    biases of the classifier                10          no
    first convolution, over optical flow    5 times the above

This is `get_optim_policies` of the authors' code of *Temporal Shift Module*, for any network. There
the classifier is every fully connected layer. Here it is those after the last convolution, so that
the dense layers inside squeeze-and-excitation blocks do not count; without any, it is the last
layer with a kernel.
"""

import glob
import types
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mpvn.network import VideoNetwork
from mpvn.training.optimizers import matches

_NOT_DECAYED = ("*/bias", "*/gamma", "*/beta")


class Policy(NamedTuple):
    """Arguments of the optimizers of `mpvn.training.optimizers`.

    Attributes:
        decay_exclude: patterns of weights that do not decay.
        rates: pairs of a pattern and a factor of the learning rate.
    """

    decay_exclude: tuple[str, ...] = ()
    rates: tuple[tuple[str, float], ...] = ()


NO_POLICY = Policy()


def tsm(network: VideoNetwork) -> Policy:
    """Return the policy of the authors of *Temporal Shift Module*."""
    variables = [variable for node in network.graph.nodes for variable in node.variables]
    kernels = {v.path: len(v.shape) for v in variables if v.path.endswith("kernel")}
    paths, convolutions = list(kernels), [path for path, rank in kernels.items() if rank > 2]
    after = paths.index(convolutions[-1]) + 1 if convolutions else 0
    rates = [(_layer(path), 5.0) for path in paths[after:] or paths[-1:]]
    if convolutions and network.frame_model.input_shape[-1] != 3:
        rates.append((_layer(convolutions[0]), 5.0))
    present = [v.path for v in variables]
    rates = [*dict.fromkeys(rates), ("*/bias", 2.0)]
    return Policy(
        tuple(x for x in _NOT_DECAYED if any(matches(path, [x]) for path in present)),
        tuple((x, y) for x, y in rates if any(matches(path, [x]) for path in present)),
    )


def _layer(path: str) -> str:
    """Return the pattern of the weights of the layer that a weight belongs to."""
    return f"{glob.escape(path.rpartition('/')[0])}/*"


POLICIES: Mapping[str, Callable[[VideoNetwork], Policy]] = types.MappingProxyType({"tsm": tsm})
"""Policies by the values of `config.optimizer.policy`."""
