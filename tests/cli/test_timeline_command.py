"""`mpvn timeline`: its table, its trace, its figure, and wrong inputs."""

import json
import pathlib

import pytest
from command_line import assert_mistake, mpvn
from svg_figures import of_class, parsed


def test_it_prints_where_the_time_goes_and_writes_a_trace_and_a_figure(
    model: pathlib.Path,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    """The first and the second subnetwork tick at every step and at every other one."""
    trace, figure = tmp_path / "trace.json", tmp_path / "timeline.svg"
    options = ["--subnetworks", 2, "--clocks", "1,2", "--runtime", "tensorflow"]
    options += ["--units", "block", "--video", video, "--frames", 6]
    assert mpvn("timeline", model, *options, "--output", trace, "--figure", figure) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:13].strip(): line[13:].split() for line in lines}
    assert [rows[f"subnetwork {lane}"][0] for lane in (0, 1)] == ["1.00", "0.50"]
    assert rows["all"][0] == "1.50" and rows["all"][3] == "100.0"
    written = json.loads(trace.read_text())
    assert written["otherData"]["runtime"].startswith("TensorFlow, compiled by block, float32")
    events = [e for e in written["traceEvents"] if e["ph"] == "X"]
    assert [e["cat"] for e in events].count("step") == 6
    assert len(events) == 6 + 6 + 3
    assert all(e["args"].get("frame", 0) >= 0 for e in events), "recorded before the warm-up"
    boxes = of_class(parsed(figure.read_text()), "box")
    assert len(boxes) == 2 * (6 + 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", 0], "--frames: expected at least 1"),
        (["--runtime", "network"], "Use --runtime tensorflow or openvino"),
        (["--video", "none.mp4"], "none.mp4"),
        (["--output", "trace.svg"], "ends in .json"),
    ],
)
def test_wrong_options_get_one_message(
    options: list, message: str, model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = [] if "--output" in options else ["--output", tmp_path / "trace.json"]
    assert_mistake(message, "timeline", model, *output, *options)
    assert not (tmp_path / "trace.json").exists()
