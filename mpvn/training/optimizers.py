"""Optimizers whose learning rate and weight decay depend on the weight.

    for each weight w with gradient g:
        rate = learning rate * product of the factors whose patterns match the path of w
        w -= rate * weight decay * w, unless a pattern of `decay_exclude` matches
        w -= Keras's step for g, at this rate

Patterns are those of a shell, such as `*/bias`, for paths such as `head.logits/bias`. Keras's own
`exclude_from_weight_decay` sees names without the layer (`bias`), and is not part of an optimizer's
config, so the copies that a `SidewaysTrainer` makes would lose it.
"""

import fnmatch
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mpvn import replicas
from mpvn.training.ranges import is_weighted

Factors = Sequence[tuple[str, float]]
"""Pairs of a pattern of weights, and the factor of their learning rate."""


class _ByWeight:
    """What the optimizers of this file share; mixed into an optimizer of Keras.

    Args:
        *args: arguments of Keras's optimizer.
        decay: weight decay, per unit of the learning rate; None for none.
        decay_exclude: patterns of weights that do not decay.
        rates: factors of the learning rate, also of the decay; those of all patterns that match
            multiply.
        **kwargs: arguments of Keras's optimizer.
    """

    def __init__(
        self,
        *args: Any,
        decay: float | None = None,
        decay_exclude: Sequence[str] = (),
        rates: Factors = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.decay = decay
        self.decay_exclude = tuple(decay_exclude)
        self.rates = tuple((pattern, factor) for pattern, factor in rates)
        for variable in self.variables:  # type: ignore[attr-defined]
            replicas.keep_equal(variable)
        self._factors: list[float] = []
        self._decays: list[float] = []

    def build(self, variables: Any) -> None:
        """Build the optimizer for Keras variables, which know their paths."""
        super().build(variables)  # type: ignore[misc]
        paths = [variable.path for variable in variables]
        self._factors = [factor_of(path, self.rates) for path in paths]
        self._decays = [
            0.0 if matches(path, self.decay_exclude) else self.decay or 0.0 for path in paths
        ]

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Update the weights by gradients, of the losses of all replicas if there are several.

        So norms are clipped, and gradients accumulated, of the whole batch.
        """
        present = replicas.total([g for g in grads if g is not None])
        totals = iter(present)
        grads = [None if g is None else next(totals) for g in grads]
        super().apply(grads, trainable_variables)  # type: ignore[misc]

    def _backend_update_step(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: tf.Tensor
    ) -> None:
        """Update each weight in place; Keras would sum gradients over the replicas here."""
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable.value, learning_rate)

    def _backend_increment_gradient_accumulators(
        self, grads: Sequence[Any], acc_grads: Sequence[Any]
    ) -> None:
        for gradient, accumulator in zip(grads, acc_grads, strict=True):
            accumulator.assign_add(gradient)

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor) -> None:
        """Update one weight."""
        index = self._get_variable_index(variable)  # type: ignore[attr-defined]
        rate = tf.cast(learning_rate, variable.dtype) * self._factors[index]
        if self._decays[index]:
            self.assign_sub(variable, variable * self._decays[index] * rate)  # type: ignore[attr-defined]
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        own = {"decay": self.decay, "decay_exclude": self.decay_exclude, "rates": self.rates}
        return {**super().get_config(), **own}  # type: ignore[misc]


@keras.saving.register_keras_serializable(package="mpvn")
class SGD(_ByWeight, keras.optimizers.SGD):
    """Keras's SGD, by weight."""


@keras.saving.register_keras_serializable(package="mpvn")
class Adam(_ByWeight, keras.optimizers.Adam):
    """Keras's Adam, by weight. The decay is not part of the moments, as in AdamW."""


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Return whether the path of a weight matches one of the patterns."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def factor_of(path: str, rates: Factors) -> float:
    """Return the factor of the learning rate of a weight: 1 if no pattern matches its path."""
    factor = 1.0
    for pattern, each in rates:
        factor *= each if matches(path, [pattern]) else 1.0
    return factor


def check_patterns(
    model: keras.Model, decay_exclude: Sequence[str], rates: Factors, context: str
) -> None:
    """Check that every pattern matches a weight of `model`.

    Args:
        model: the network.
        decay_exclude, rates: as of the optimizers.
        context: prefix of the names of the arguments in messages, such as `"config.optimizer."`.

    Raises:
        ValueError: a pattern matches no weight, an element of `rates` is not a pair of a pattern
            and a factor, or a factor is negative.
    """
    for pair in rates:
        if not is_weighted(pair) or not isinstance(pair[0], str):
            raise ValueError(
                f"{context}rates: expected pairs of a pattern and a factor, 0 or more, such as "
                f"(('*/bias', 2.0),). Received: {pair!r}"
            )
    paths = [weight.path for weight in model.weights]
    named = {"decay_exclude": decay_exclude, "rates": [pattern for pattern, _ in rates]}
    for name, patterns in named.items():
        for pattern in patterns:
            if not any(matches(path, [str(pattern)]) for path in paths):
                raise ValueError(
                    f"{context}{name}: expected a pattern of weights of {model.name!r}, such as "
                    f"{', '.join(paths[:1] + paths[-1:])}. Received: {pattern!r}"
                )
