"""Properties that all readers of files share."""

import inspect

import pytest
from fake_sets import FakeSet, raises

from mpvn.data import SETS
from mpvn.data.sets.registry import needs_path

READERS = [name for name in SETS if needs_path(name)]


@pytest.mark.parametrize("name", READERS)
def test_a_missing_or_empty_data_set_is_an_error_that_names_the_path(
    fake: FakeSet, name: str
) -> None:
    options = {"class_list": "classes.txt"} if name == "mini_kinetics" else {}
    with raises("Expected ", " in the f", str(fake.root / "none")):
        SETS[name](fake.root / "none", **options)
    empty = fake.root / "empty.csv" if name == "csv" else fake.root
    (fake.root / "empty.csv").touch()
    with raises(str(fake.root)):
        SETS[name](empty, **options)


@pytest.mark.parametrize("name", READERS)
def test_options_are_keywords_with_annotations_and_defaults(name: str) -> None:
    """Configs check the names of options against the signature."""
    _, split, *options = inspect.signature(SETS[name]).parameters.values()
    assert split.name == "split"
    for option in [split, *options]:
        assert option.annotation is not option.empty
        assert option.default is not option.empty
    for option in options:
        assert option.kind is option.KEYWORD_ONLY
