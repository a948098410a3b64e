"""`--config.key=value`: keys, options, None; what is refused, and with which words."""

import pathlib
from typing import Any

import pytest
from fake_config_data import write_data_set
from small_runs import small_config

from mpvn.training import RunFolder, as_json, base_config, load_config, override
from mpvn.training.build.videos import build_videos
from mpvn.training.hyperparameter_sweep import grid_cells

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
TSM = CONFIGS / "tsm_jester_mobilenet_v2.py"


def options(config: Any, group: str) -> dict[str, Any]:
    return config[group].to_dict()


# --- options ------------------------------------------------------------------------------------


def test_an_option_may_be_set_whether_the_file_lists_it_or_not() -> None:
    """Setting one keeps the others: a KeyError, or an offline network, was the way round."""
    config = load_config(
        TSM,
        [
            "--config.model.options.width=0.25",
            "--config.model.options.dropout=0",
            "--config.data.train.split=val",
            "--config.task.options.average=probabilities",
        ],
    )
    assert options(config, "model.options") == {
        "shift": True,
        "temporal_padding": "causal",
        "dropout": 0,
        "width": 0.25,
    }
    assert options(config, "data.train") == {"split": "val"}
    assert options(config, "task.options") == {"average": "probabilities"}
    for group, option in (("data.train", "fold=2"), ("data.evaluation", "fold=3")):
        config = load_config(CONFIGS / "sideways_hmdb51_vgg8.py", [f"--config.{group}.{option}"])
        assert options(config, group) == {"fold": int(option[-1])}


def test_options_are_those_of_the_network_that_the_same_command_names() -> None:
    """In any order; a whole group is replaced by a dict."""
    for order in (1, -1):
        config = override(
            small_config(),
            ["--config.model.name=vgg8", "--config.model.options.dropout=0.5"][::order],
        )
        assert options(config, "model.options")["dropout"] == 0.5
    config = load_config(
        CONFIGS / "finetune_parallel.py",
        [
            "--config.model.name=MobileNetV2",
            "--config.model.options={'alpha': 0.35}",
            "--config.model.options.classifier_activation=None",
        ],
    )
    expected = {"alpha": 0.35, "classifier_activation": None}
    assert options(config, "model.options") == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "model.options.widht=0.5",
            "config.model.options: tsm_mobilenet_v2 has no option 'widht'. Expected one of classes,"
            " .*, width. Received: 'widht'. Did you mean 'width'?",
        ),
        ("model.options.width=wide", "config.model.options.width: expected float. Received: 'wid"),
        ("model.options.shift=2", "config.model.options.shift: expected bool. Received: 2"),
        ("model.options.input_shape=3", "has no option 'input_shape'"),
        ("model.options=3", "config.model.options: expected a dict"),
        ("model.options.width", "Expected --config.key=value. Received: --config.model.options.w"),
        ("model.name=par_densenet", "par_densenet has no option .*or drop the options of the conf"),
        ("data.train.fold=2", "config.data.train: jester has no option 'fold'. Expected one of sp"),
        ("data.evaluation.root=here", "config.data.evaluation: jester has no option 'root'"),
        ("data.train.split=2.5", None),
        ("task.options.sigma=2", "config.task.options: action has no option 'sigma'"),
        ("task.options.classes=2", "config.task.options: action has no option 'classes'"),
        ("model.name=MobileNetV2", "MobileNetV2 has no option '.*'. Expected one of alpha"),
    ],
)
def test_an_option_that_does_not_exist_or_fit_is_refused(change: str, message: str | None) -> None:
    if message is None:  # a string that looks like a number
        assert load_config(TSM, [f"--config.{change}"]).data.train.split == "2.5"
        return
    with pytest.raises(ValueError, match=message):
        load_config(TSM, [f"--config.{change}"])


def test_grids_and_stored_runs_take_options_that_are_not_listed(
    copied: RunFolder, tmp_path: pathlib.Path
) -> None:
    grid = {"model.options.placement": ("residual", "in_place")}
    cells = grid_cells(tmp_path, CONFIGS / "tsm_rendered_actions.py", grid)
    assert [cell.config.model.options.placement for cell in cells] == ["residual", "in_place"]
    with pytest.raises(ValueError, match="Did you mean 'placement'"):
        grid_cells(tmp_path, cells[0].source, {"model.options.plcement": (1,)})

    config = override(copied.config(), ["--config.data.evaluation.seed=3"])
    assert config.data.evaluation.seed == 3
    stored = RunFolder(tmp_path / "stored")
    stored.start(config)
    assert as_json(stored.config()) == as_json(config)
    assert override(stored.config(), []).data.evaluation.seed == 3


def test_options_of_configs_made_in_python_are_checked_too() -> None:
    from mpvn.training import build

    config = small_config()
    config.model.options = {"widht": 0.5}
    with pytest.raises(ValueError, match="simple_cnn has no option 'widht'"):
        build(config)


def test_another_data_set_starts_without_the_options_of_the_first() -> None:
    """`data.name=kinetics600` kept the fold, or the split, of another reader, and was refused."""
    path = CONFIGS / "tsm_ucf101_resnet50.py"
    kept = load_config(path, ["--config.data.name=ucf101", "--config.data.train.fold=2"])
    assert options(kept, "data.train") == {"split": "train", "fold": 2}
    assert options(kept, "data.evaluation") == {"split": "test"}
    for order in (1, -1):
        other = ["--config.data.name=kinetics600", "--config.data.train.skip_missing=True"]
        changed = load_config(path, other[::order])
        assert options(changed, "data.train") == {"skip_missing": True}
        assert options(changed, "data.evaluation") == {}
    own = load_config(CONFIGS / "finetune_parallel.py", ["--config.data.name=csv"])
    assert options(own, "data.evaluation") == {"split": "val"}  # not the fraction
    with pytest.raises(ValueError, match="kinetics600 has no option 'fold'"):
        load_config(path, ["--config.data.name=kinetics600", "--config.data.train.fold=2"])


@pytest.mark.parametrize(("name", "split"), [("cater", "val"), ("ucf101", "test")])
def test_each_data_set_is_evaluated_on_its_own_split(
    name: str, split: str, tmp_path: pathlib.Path
) -> None:
    data = [*write_data_set(name, tmp_path), f"--config.data.name={name}"]
    config = load_config(CONFIGS / "finetune_parallel.py", data)
    for part, expected in (("train", "train"), ("evaluation", split)):
        assert expected in build_videos(config, part).name.split()


# --- other keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--config.sed=3", "config has no key 'sed'. Expected one of .*Did you mean 'seed'?"),
        ("--config.training.setps=3", "config.training has no key 'setps'.*Did you mean 'steps'?"),
        ("--config.seed.x=3", "config.seed has no key 'x'"),
        ("--config.seed=x", "config.seed=x"),
        ("--config.seed=None", "config.seed=None"),
        ("--sed=3", "command line flag .sed"),
        ("seed=3", "Expected --config.key=value. Received: seed=3"),
    ],
)
def test_a_misspelled_key_or_value_is_refused(option: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_config(CONFIGS / "rendered_keypoints.py", [option])


def test_keys_that_may_be_none_are_set_and_unset() -> None:
    config = override(base_config(), ["--config.clip.evaluated=None", "--config.task.latency=2"])
    assert (config.clip.evaluated, config.task.latency, config.teacher) == (None, 2, None)
    again = override(config, ["--config.clip.evaluated=9", "--config.task.latency=None"])
    assert (again.clip.evaluated, again.task.latency) == (9, None)
    with pytest.raises(ValueError, match="config.task.latency=late"):
        override(config, ["--config.task.latency=late"])


def test_a_file_without_a_config_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="there is no config 'nowhere.py'. Expected a Python file"):
        load_config("nowhere.py")
    (tmp_path / "empty.py").touch()
    with pytest.raises(ValueError, match=r"empty.py: expected a function get_config\(\)"):
        load_config(tmp_path / "empty.py")
