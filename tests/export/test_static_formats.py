"""Static graphs stream on devices as the network does here: LiteRT, ONNX, OpenVINO."""

import collections
import json
import pathlib
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from clocked_networks import everything, frames
from tflite_operators import read_model, read_operators

import mpvn

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
STARTS = {"litert": "primed", "onnx": "zeros", "openvino": "zeros"}
CONVOLUTIONS = {"first": 1, "conv2d": 1, "lstm": 2, "second": 1, "third": 1, "opinion": 1}
STEPS = 15
BATCHES = {"pair": slice(0, 2), "single": slice(2, 3)}
"""Streams that run in one batch."""


@pytest.fixture(scope="module")
def clip() -> dict[str, np.ndarray]:
    """Frames `[S, T, ...]` of three streams."""
    steps = frames(3, STEPS)
    return {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]}


@pytest.fixture(scope="module")
def networks() -> dict[str, mpvn.VideoNetwork]:
    """The network, by how its streams start."""
    return {start: everything(start) for start in ("zeros", "primed")}


@pytest.fixture(scope="module")
def expected(
    networks: dict[str, mpvn.VideoNetwork], clip: dict[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """The outputs of all streams, by how they start."""
    outputs = {start: network(clip, training=False) for start, network in networks.items()}
    return {start: {n: np.asarray(x) for n, x in each.items()} for start, each in outputs.items()}


class Exported:
    """An exported network, and what its example computes in another process."""

    def __init__(
        self,
        network: mpvn.VideoNetwork,
        format: str,
        clip: dict[str, np.ndarray],
        folder: pathlib.Path,
    ) -> None:
        self.network, self.folder = network, folder / "model"
        network.export(self.folder, format=format, batch=None, verbose=False)
        self.description = json.loads((self.folder / "mpvn.json").read_text("utf-8"))
        files = []
        for batch, streams in BATCHES.items():
            np.savez(folder / f"{batch}.npz", **{name: x[streams] for name, x in clip.items()})
            files += [folder / f"{batch}.npz", folder / f"{batch}_outputs.npz"]
        process = pathlib.Path(__file__).with_name("example_process.py")
        example = EXAMPLES / f"run_{format}.py"
        command = [sys.executable, process, example, self.folder, *files]
        result = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=300
        )
        assert result.returncode == 0, result.stderr
        self.printed = result.stdout
        self.outputs = dict(zip(BATCHES, map(np.load, files[1::2]), strict=True))


@pytest.fixture(scope="module", params=STARTS)
def exported(
    networks: dict[str, mpvn.VideoNetwork],
    clip: dict[str, np.ndarray],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    network = networks[STARTS[request.param]]
    return Exported(network, request.param, clip, tmp_path_factory.mktemp(request.param))


def test_streams_without_our_packages(
    exported: Exported, expected: dict[str, dict[str, np.ndarray]]
) -> None:
    right = expected[exported.network.start]
    for batch, streams in BATCHES.items():
        outputs = exported.outputs[batch]
        assert set(outputs) == set(right)
        for name, value in outputs.items():
            atol = 1e-5 * np.abs(right[name]).max()
            np.testing.assert_allclose(value, right[name][streams], rtol=0, atol=atol)
            assert np.std(value[:, -8:], axis=1).min() > 1e-3, "the outputs do not change"


def test_the_description_is_inside_each_file(exported: Exported) -> None:
    outside = {name: x for name, x in exported.description.items() if name != "files"}
    for name, graph in exported.description["schedule"]["graphs"].items():
        file = exported.folder / graph["file"]
        match exported.description["format"]:
            case "litert":
                model = read_model(file)
                (entry,) = (x for x in model.metadata if x.name == b"mpvn.json")
                text = model.buffers[entry.buffer].data.tobytes().decode()
            case "onnx":
                (entry,) = onnx.load(file, load_external_data=False).metadata_props
                text = entry.value
            case _:
                text = ElementTree.parse(file).find("rt_info/mpvn/description").get("value")
        assert json.loads(text) == outside, name


def operations(exported: Exported, graph: str) -> collections.Counter[str]:
    """Return the operations of a graph, by the format's name of their kind."""
    file = exported.folder / exported.description["schedule"]["graphs"][graph]["file"]
    match exported.description["format"]:
        case "litert":
            return collections.Counter(read_operators(file, graph))
        case "onnx":
            model = onnx.load(file, load_external_data=False)
            return collections.Counter(node.op_type for node in model.graph.node)
    return collections.Counter(re.findall(r'<layer [^>]* type="(\w+)"', file.read_text("utf-8")))


def test_slow_blocks_are_absent_where_they_do_not_tick(exported: Exported) -> None:
    schedule, plan = exported.description["schedule"], exported.network.plan
    sizes = set()
    for phase, graph in enumerate(schedule["cycle"]):
        step = phase + len(schedule["first"])
        ticking = [node.name for node in plan.graph.nodes if plan.clock(node).ticks(step)]
        expected = sum(n for part, n in CONVOLUTIONS.items() for name in ticking if part in name)
        counts = operations(exported, graph)
        assert sum(n for kind, n in counts.items() if "conv" in kind.lower()) == expected, graph
        assert f"phase {phase}, {graph}: " in exported.printed
        sizes.add((len(ticking), counts.total()))
    assert len(sizes) == 3
    assert sorted(sizes) == sorted(sizes, key=lambda size: size[1]), "more blocks, more operations"


def test_states_that_only_move_are_not_computed(exported: Exported) -> None:
    """A window of three frames moves two of them; nothing of a block that does not tick changes."""
    schedule = exported.description["schedule"]
    idle = min(schedule["cycle"], key=lambda graph: operations(exported, graph).total())
    graph = schedule["graphs"][idle]
    moved = {n: source for n, source in graph["states"].items() if source not in graph["makes"]}
    assert len([name for name in moved if "re_lu" in name]) == 2
    held = [name for name in schedule["states"] if name not in graph["states"]]
    assert any("add" in name for name in held)
