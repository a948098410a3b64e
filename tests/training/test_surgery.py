"""`config.model.surgery`: shifts, temporal filters, shortcuts and memories in any network."""

import pytest
from small_runs import small_config

from mpvn.models import shifted_layers
from mpvn.training import RunFolder, as_json, override
from mpvn.training.build.frame_model import build_frame_model
from mpvn.training.build.network import build_network


def changed(*changes: str) -> dict:
    config = override(small_config(), [f"--config.model.surgery{change}" for change in changes])
    return config.model.surgery.to_dict()


def test_operations_and_their_options_are_set_one_by_one() -> None:
    assert changed(".shift=True") == {"shift": {}}
    assert changed(".shift.divisor=4", ".shift.where=('a','b')", ".inflate=True") == {
        "shift": {"divisor": 4, "where": ("a", "b")},
        "inflate": {},
    }
    assert changed(".shift=True", ".recurrent.after=unit", ".shift=False") == {
        "recurrent": {"after": "unit"}
    }
    assert changed(".shift=True", "={'inflate': {'temporal_kernel': 2}}") == {
        "inflate": {"temporal_kernel": 2}
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ".shfit.divisor=2",
            "no operation 'shfit'. Expected one of shift, .* Did you mean 'shift'",
        ),
        ("={'shfit': {}}", "no operation 'shfit'"),
        (
            ".shift.divsor=2",
            "no option 'divsor'. Expected one of divisor, .* Did you mean 'divisor'",
        ),
        (".shift.divisor=x", "config.model.surgery.shift.divisor: expected int. Received: 'x'"),
        (".shift=3", "config.model.surgery.shift: expected a dict"),
        ("={'shift': 3}", "expected a dict of dicts"),
    ],
)
def test_what_does_not_exist_is_refused(change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(change)


def test_a_key_of_a_config_file_that_nothing_reads_is_refused() -> None:
    """A config file sets keys without a check: shortcuts were left out without a word."""
    config = small_config()
    config.model.shortcuts = (3,)
    with pytest.raises(ValueError, match="config.model has no key 'shortcuts'. Expected one of "):
        override(config, [])


def test_an_operation_with_its_defaults_is_a_change_of_the_run(trained: RunFolder) -> None:
    """An empty dict has no leaves: a run without shifts went on as one with shifts."""
    config = override(trained.config(), ["--config.model.surgery.shift=True"])
    assert trained.differing(config) == ["model.surgery.shift", "model.surgery"]
    assert as_json(config)["model"]["surgery"] == {"shift": {}}


def test_operations_are_applied_to_the_network_of_the_config() -> None:
    config = small_config(model__name="MobileNetV2", model__size=32)
    config.model.options = {"alpha": 0.35}
    config.model.surgery = {
        "shift": {"temporal_padding": "causal"},
        "inflate": {"temporal_kernel": 2, "where": ("Conv1",)},
        "recurrent": {"after": ("block_1_expand_relu",)},
    }
    network = build_network(config, build_frame_model(config, {"classes": 3}))
    assert len(shifted_layers(network.frame_model)) == 10
    assert network.frame_model.get_layer("Conv1").window == 2
    assert network.frame_model.get_layer("block_1_expand_relu_memory")
    assert network.plan.receptive_field is None  # a memory keeps everything
