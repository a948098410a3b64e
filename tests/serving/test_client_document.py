"""The code about the client in `docs/serving.md` runs."""

import pathlib
import re

import numpy as np
import pytest
from tf_serving_stand_in import StandIn

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_code_of_the_document_runs(
    server: StandIn,
    clip: np.ndarray,
    expected: dict[str, np.ndarray],
    capsys: pytest.CaptureFixture,
) -> None:
    text = DOCUMENT.read_text()
    section = text[text.index("## The client") : text.index("## TensorFlow Serving")]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {"camera": list(clip)}
    for block in blocks:
        code = block.replace("grpc://localhost:8500", server.address("grpc"))
        exec(compile(code.replace('"actions"', '"carried"'), str(DOCUMENT), "exec"), names)
        np.testing.assert_allclose(
            names["outputs"]["scores"], expected["scores"][-1], rtol=1e-5, atol=1e-6
        )
    classes = expected["scores"].argmax(axis=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{number + 1} {best}" for number, best in enumerate(classes)]
