"""The names of classes in training checkpoints."""

from collections.abc import Iterator, Mapping
from typing import Any

KEYS = ("classes", "CLASSES", "class_names", "labels", "names")
"""Keys of the names, in order: a list, or a mapping from numbers to names."""

NUMBERS = ("class_to_idx", "label2id")
"""Keys of a mapping from names to numbers."""

NAMES = ("idx_to_class", "id2label")
"""Keys of a mapping from numbers to names."""

PLACES = (
    ("meta", "dataset_meta"),  # mmengine: mmaction2 from version 1 on
    ("meta",),  # mmcv: mmaction2 before
    ("hyper_parameters",),  # PyTorch Lightning
    (),
)
"""Where these keys may be: under which keys of a checkpoint, outermost first."""


def find_class_names(saved: Any) -> tuple[str, ...]:
    """Return the names of the classes, in order, that a saved object has; empty without any.

    They are in `meta.dataset_meta` (mmengine), `meta` (mmcv), `hyper_parameters` (Lightning), or
    beside the weights, in this order, under `classes`, `CLASSES`, `class_names`, `labels`, `names`,
    `idx_to_class`, `id2label`, `class_to_idx` or `label2id`. Values of other kinds are passed over:
    a number, or a list that is not of names.

    Args:
        saved: A checkpoint as it was pickled.
    """
    for place in PLACES:
        values = saved
        for key in place:
            values = values.get(key) if isinstance(values, Mapping) else None
        if isinstance(values, Mapping):
            for names in _candidates(values):
                if names:
                    return names
    return ()


def _candidates(values: Mapping) -> Iterator[tuple[str, ...]]:
    for key in (*KEYS, *NAMES):
        if key in values:
            yield _in_order(values[key])
    for key in NUMBERS:
        if isinstance(values.get(key), Mapping):
            yield _in_order({number: name for name, number in values[key].items()})


def _in_order(names: Any) -> tuple[str, ...]:
    """Return names by number, from 0 on; empty if `names` are something else."""
    if isinstance(names, Mapping):
        try:
            names = {int(number): name for number, name in names.items()}
        except (TypeError, ValueError):
            return ()
        names = [names.get(number) for number in range(len(names))]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)
