"""The classes of a set: their order, their numbers, and those that a split lacks."""

import re
import unicodedata
import warnings
from collections.abc import Collection, Iterable, Sequence

from mpvn.data.sets.layout import named

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)

_MISSING = frozenset({"na", "n/a", "nan", "none", "null"})
"""How programs write a missing number."""


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of classes in the order of their labels, without repetitions.

    Whole numbers are in numeric order (`-1, 0, 1, 10`), other names in that of their characters.
    """
    unique = sorted(set(names))
    numeric = all(map(_INTEGER.fullmatch, unique))
    return tuple(sorted(unique, key=int) if numeric else unique)


def name_problems(names: Iterable[str]) -> list[tuple[str, str]]:
    """Find names of classes that are fractions, missing numbers, or the same number as another.

    Returns:
        Such names, each with the problem. Empty if some name is not a number.
    """
    unique = sorted(set(names))
    missing = [name for name in unique if name.casefold() in _MISSING]
    unique = [name for name in unique if name not in missing]
    if not unique or not all(map(_NUMBER.fullmatch, unique)):
        return []
    problems = [(name, f"expected a whole number as label. Received: {name}") for name in missing]
    known: dict[int, str] = {}
    for name in unique:
        if not _INTEGER.fullmatch(name):
            problems.append((name, f"expected a name or a whole number as label. Received: {name}"))
        elif known.setdefault(int(name), name) != name:
            same = known[int(name)]
            problems.append((name, f"{name} and {same} are the same number, but two labels"))
    return problems


def number_labels(
    labels: Sequence[str], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int | None]]:
    """Number labels.

    Args:
        labels: The label of each video, as written.
        classes: Names of the classes in the order of their numbers. If all labels are whole
            numbers and some are not names of classes, labels are numbers of classes, from 0 on.
            None for the labels that occur, in the order of `ordered`.

    Returns:
        The names of the classes, and the number of each label; None for an unknown label.
    """
    names = ordered(labels) if classes is None else tuple(classes)
    number_of: dict[str, int] = {name: number for number, name in enumerate(names)}
    if set(labels) <= number_of.keys() or not all(map(_INTEGER.fullmatch, labels)):
        return names, [number_of.get(label) for label in labels]
    numbers = map(int, labels)
    return names, [number if 0 <= number < len(names) else None for number in numbers]


def warn_of_similar_names(title: str, names: Iterable[str]) -> None:
    """Name classes whose names differ in case, spaces or the form of characters alone.

    Warns:
        RuntimeWarning: There are such classes.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        alike.setdefault(" ".join(plain.split()), []).append(ascii(name))
    similar = [" and ".join(group) for group in alike.values() if len(group) > 1]
    if not similar:
        return
    warnings.warn(
        f"{title}: expected classes with different names. Received: {named(similar)}. They are "
        "counted as different classes. If they are the same, give them the same name.",
        RuntimeWarning,
        stacklevel=3,
    )


def warn_of_missing_classes(
    title: str, names: Iterable[str], present: Collection[str], remedy: str
) -> None:
    """Name the classes that have videos in the data set, but none in a split.

    Warns:
        RuntimeWarning: There are such classes.
    """
    missing = [name for name in names if name not in present]
    if not missing:
        return
    warnings.warn(
        f"{title}: expected videos of each class. Received: none of {len(missing)} "
        f"class{'es' * (len(missing) > 1)}: {named(missing)}. {remedy}",
        RuntimeWarning,
        stacklevel=3,
    )
