"""A run that started from an image model in a file goes on without that file."""

import os
import pathlib

import keras
import numpy as np
import pytest
from own_models import PROBABILITIES, own_model
from small_runs import small_config, steps, weights

from mpvn.models import shifted_layers
from mpvn.training import build, evaluate, train


@pytest.mark.usefixtures("eager")
def test_a_run_needs_its_file_only_to_start(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """Another model in its place is not taken for it, either."""
    file = tmp_path / "own.keras"
    own_model(PROBABILITIES["dense"], classes=7).save(file)
    config = small_config(model__name=str(file), model__size=8, training__steps=2)
    config.training.checkpoint_every = config.training.evaluate_every = 1
    config.model.options = {}
    config.model.surgery = {"shift": {"temporal_padding": "causal"}}
    folder = train(config, tmp_path / "run")
    assert "classifier 'scores' of 7 classes replaced by one of" in capsys.readouterr().err
    trained, last = weights(folder), folder.last_evaluation
    assert list(shifted_layers(keras.saving.load_model(folder.network).frame_model)) == ["second"]

    own_model(classes=3).save(file)  # another model
    experiment = build(folder.config(), to_train=False)
    assert evaluate(experiment, folder.last)["loss"] == pytest.approx(last["loss"], rel=1e-5)

    file.unlink()
    folder.network.unlink()
    os.replace(folder.previous, folder.last)
    assert steps(folder) == 1
    folder = train(config, folder.path)
    for name, value in weights(folder).items():
        np.testing.assert_allclose(value, trained[name], rtol=1e-4, atol=1e-5)
