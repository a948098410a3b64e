"""Reading PyTorch's files: both formats, damaged files, and files that would run a program."""

import collections
import os
import pathlib
import tarfile
from typing import Any

import numpy as np
import pytest
import torch_files
from torch_files import Storage, View

from mpvn.models.torch.reader import CheckpointError, read_checkpoint

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


class Program:
    """An object whose pickle runs a program."""

    def __init__(self, trace: pathlib.Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


@formats
def test_a_file_runs_no_program(legacy: bool, tmp_path: pathlib.Path) -> None:
    trace = tmp_path / "trace"
    saved = {"state_dict": {"weight": np.ones(3, "float32")}, "extra": Program(trace)}
    path = torch_files.write(saved, tmp_path / "net.pth", legacy)
    with pytest.raises(CheckpointError, match="would import .*system. Expected tensors and plain"):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"state_dict": {"weight": 3}}, "a state dict of tensors only"),
        ({}, "a state dict of tensors only"),
        ([1, 2], "damaged"),
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
