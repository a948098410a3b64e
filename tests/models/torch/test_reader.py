"""Reading checkpoints: the formats, what wraps the weights, and damaged files."""

import argparse
import collections
import fractions
import json
import pathlib
import struct
import tarfile
from typing import Any

import numpy as np
import pytest
import torch_files
from torch_files import Storage, View

from mpvn.models.torch.reader import (
    STATES,
    CheckpointError,
    class_names,
    read_checkpoint,
    read_shapes,
)

formats = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])


@formats
def test_reads_every_tensor(legacy: bool, tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    """Of each dtype, strided, sharing a storage, and empty; alone and inside a training state."""
    arrays = {
        "single": rng.normal(size=(3, 2, 4)).astype("float32"),
        "half": np.ones((2, 3), "float16"),
        "double": np.arange(4.0),
        "counter": np.array(7, "int64"),
        "empty": np.zeros((0, 3), "float32"),
    }
    base = Storage(np.arange(12, dtype="float32"))
    state = collections.OrderedDict(arrays)
    state["transposed"], state["shared"] = View(base, 1, (2, 3), (1, 4)), View(base, 4, (8,), (1,))
    run = {"epoch": 3, "best_prec1": np.array(0.5), "state_dict": state, "optimizer": {"lr": []}}
    for saved in (state, run):
        tensors = read_checkpoint(torch_files.write(saved, tmp_path / "net.pth", legacy))
        assert set(tensors) == set(state)
        for key, value in arrays.items():
            np.testing.assert_array_equal(tensors[key], value)
            assert tensors[key].dtype == value.dtype
        np.testing.assert_array_equal(tensors["transposed"], [[1, 5, 9], [2, 6, 10]])
        np.testing.assert_array_equal(tensors["shared"], range(4, 12))


@formats
def test_reads_a_whole_training_checkpoint(legacy: bool, tmp_path: pathlib.Path) -> None:
    """Files with a NumPy scalar, such as the best accuracy, or with an object of any class were
    refused whole. Entries of the state dict that are no tensors did the same."""
    state = collections.OrderedDict(
        {
            "weight": np.arange(6, dtype="float32").reshape(2, 3),
            "bn.num_batches_tracked": 7,
            "_metadata": {"version": 1},
            "head._extra_state": argparse.Namespace(scale=2),
        }
    )
    run = {
        "best_prec1": np.float64(71.2),
        "history": {"loss": np.array([1.0, 2.0]), "count": collections.Counter("ab")},
        "args": argparse.Namespace(lr=0.1, classes=["not", "these"]),
        "optimizer": {"state": {0: {"momentum": np.ones(3, "float32"), "step": np.int64(2)}}},
        "state_dict": state,
    }
    path = torch_files.write(run, tmp_path / "ckpt.pth.tar", legacy)
    assert list(read_checkpoint(path)) == ["weight"]
    np.testing.assert_array_equal(read_checkpoint(path)["weight"], state["weight"])
    assert read_shapes(path) == {"weight": (2, 3)}
    assert class_names(path) == ()


@pytest.mark.parametrize("key", STATES)
def test_finds_the_state_dict(key: str, tmp_path: pathlib.Path) -> None:
    wanted, averaged = {"weight": np.ones(2, "float32")}, {"weight": np.zeros(2, "float32")}
    saved = {"model_ema": averaged, "optimizer": {"state": averaged}, key: wanted, "epoch": 3}
    for each in (saved, {"model": {"args": fractions.Fraction(1), **saved}}):
        tensors = read_checkpoint(torch_files.write(each, tmp_path / "net.pth"))
        np.testing.assert_array_equal(tensors["weight"], [1, 1])


def test_reads_safetensors(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    arrays = {"a.weight": rng.normal(size=(2, 3)).astype("float32"), "b": np.arange(4)}
    entries, parts, begin = {"__metadata__": {"classes": "text"}}, b"", 0
    for name, array in arrays.items():
        part = array.tobytes()
        kind = {"float32": "F32", "int64": "I64"}[str(array.dtype)]
        place = [begin, begin + len(part)]
        entries[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": place}
        parts, begin = parts + part, place[1]
    header = json.dumps(entries).encode()
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + parts)
    tensors = read_checkpoint(path)
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name], array)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="Cannot read the checkpoint .*net.safetensors"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "saved",
    [
        {"meta": {"dataset_meta": {"classes": ["run", "jump"]}, "CLASSES": ["no", "nor"]}},
        {"meta": {"CLASSES": ("run", "jump"), "epoch": 3}, "classes": 2},
        {"class_names": ["run", "jump"]},
        {"names": {1: "jump", 0: "run"}},
        {"id2label": {"0": "run", "1": "jump"}},
        {"hyper_parameters": {"classes": 2, "class_to_idx": {"jump": 1, "run": 0}}},
    ],
)
def test_class_names_are_those_of_the_file(saved: dict, tmp_path: pathlib.Path) -> None:
    whole = {**saved, "state_dict": {"weight": np.ones(2, "float32")}}
    assert class_names(torch_files.write(whole, tmp_path / "net.pth")) == ("run", "jump")


@pytest.mark.parametrize(
    "saved",
    [
        {"classes": 2},
        {"names": {1: "jump", 2: "run"}},
        {"names": ["jump", 2]},
        {"meta": {"CLASSES": None}},
        {"class_to_idx": {"jump": "first"}},
    ],
)
def test_other_values_are_no_class_names(saved: dict, tmp_path: pathlib.Path) -> None:
    whole = {**saved, "state_dict": {"weight": np.ones(2, "float32")}}
    assert class_names(torch_files.write(whole, tmp_path / "net.pth")) == ()


@formats
def test_rejects_a_truncated_file(
    legacy: bool, tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    state = {f"layer{number}": rng.normal(size=(9, 9)) for number in range(20)}
    path = torch_files.write({"state_dict": state}, tmp_path / "net.pth.tar", legacy)
    content = path.read_bytes()
    for share in (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(CheckpointError, match="Cannot read the checkpoint .*net.pth.tar"):
            read_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        read_checkpoint(path.with_name("none.pth"))


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"state_dict": {"weight": 3}}, "tensors by name, alone or in .* Received: a dict of weig"),
        ({}, "Expected a state dict: .* Received: a dict of nothing"),
        ([1, 2], r"Received: list. Save the weights by torch.save\(model.state_dict\(\)"),
        (argparse.Namespace(a=1), "Received: an object of argparse.Namespace. Save the weights"),
        ({"epoch": 1, "model": fractions.Fraction(1)}, "Received: an object of fractions.Fraction"),
        ({"w": View(Storage(np.ones(4, "f4")), 2, (3,), (1,))}, r"\(3,\) lies outside"),
        ({"w": View(Storage(np.ones(4, "f4")), -1, (1,), (1,))}, "outside its storage"),
        ({"w": View(Storage(np.ones(4, "f4")), 3, (2,), (-1,))}, "outside its storage"),
    ],
)
def test_rejects_files_without_a_state_dict(
    saved: Any, message: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(torch_files.write(saved, tmp_path / "net.pth"))


def test_rejects_a_tar_file_of_the_first_pytorch(tmp_path: pathlib.Path) -> None:
    """torchvision's oldest files are tar files: resnet50-19c8e357.pth."""
    path = tmp_path / "old.pth"
    (tmp_path / "pickle").write_bytes(b"")
    with tarfile.open(path, "w") as archive:
        archive.add(tmp_path / "pickle", "pickle")
    with pytest.raises(CheckpointError, match=r"It is a tar file.*torch.save\(torch.load"):
        read_checkpoint(path)
