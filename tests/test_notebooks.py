"""The notebooks run from top to bottom in a fresh kernel."""

import pathlib

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "colab").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_is_committed_without_outputs(
    path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code)
    for long, short in SHORTER.items():
        assert any(long in cell.source for cell in code)
        for cell in code:
            cell.source = cell.source.replace(long, short)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(SHORT_NETWORK))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    outputs = [output for cell in code for output in cell.outputs]
    displayed = {kind for output in outputs for kind in output.get("data", ())}
    assert {"image/svg+xml", "image/png"} <= displayed


SHORTER = {
    "TEACHER_STEPS, STUDENT_STEPS = 120, 60": "TEACHER_STEPS, STUDENT_STEPS = 3, 2",
    "500 if training else 20": "20 if training else 4",
    "Consecutive(16)": "Consecutive(8)",
}
"""Few updates on few short clips: benchmarks/learning measures whether networks learn."""

SHORT_NETWORK = """
import sys, keras, mpvn.models
sys.modules["mpvn.models.par_densenet"].MINIBLOCKS = (1, 2)
keras.src.trainers.trainer.Trainer.run_eagerly = property(lambda _: True, lambda *_: None)
"""
"""Tracing takes longer than a few batches."""
