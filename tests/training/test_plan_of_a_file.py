"""A plan that `mpvn plan --json` wrote, in a config."""

import json
import pathlib

import pytest
from small_models import chain

from mpvn import Plan, PlanError
from mpvn.models.loading import LoadedModel
from mpvn.training import base_config
from mpvn.training.build.network import build_network

LOADED = {"prepare": lambda frames: frames, "plan_defaults": {"partition": "units"}}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    plan = Plan(chain(2, 2, 2), 2, clocks=[2, 4], phases=[1, 3])
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.get_config()))
    return path


def test_a_config_takes_the_plan_of_a_file(path: pathlib.Path) -> None:
    config = base_config()
    config.plan.file = str(path)
    plan = build_network(config, LoadedModel(chain(2, 2, 2), **LOADED)).plan
    assert plan == Plan(chain(2, 2, 2), 2, clocks=[2, 4], phases=[1, 3])


def test_a_file_goes_with_no_other_option(path: pathlib.Path) -> None:
    config = base_config()
    config.plan.file, config.plan.phases = str(path), "chain"
    with pytest.raises(PlanError, match="has all of a plan.*Received: phases='chain'"):
        build_network(config, LoadedModel(chain(2, 2, 2), **LOADED))


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ("[]", "holds no plan.*Received: list"), ("{}", "Invalid config")],
)
def test_a_file_that_is_no_plan_is_refused(content: str, message: str, path: pathlib.Path) -> None:
    path.write_text(content)
    with pytest.raises(PlanError, match=message):
        LoadedModel(chain(2, 2, 2), **LOADED).make_plan({"file": str(path)})
    with pytest.raises(PlanError, match="cannot be read"):
        LoadedModel(chain(2, 2, 2), **LOADED).make_plan({"file": str(path.with_name("none.json"))})
