"""Files that would run a program: each way in which a pickle calls, makes or changes an object."""

import pathlib

import numpy as np
import pytest
import torch_files

from mpvn.models.torch import unpickler
from mpvn.models.torch.reader import CheckpointError, read_checkpoint


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


COMMAND = text("touch TRACE")
EVIL = b"cos\nsystem\n"
DEFAULTS = text("__defaults__") + b"(K\x01t"

PROGRAMS = {
    "REDUCE": EVIL + b"(" + COMMAND + b"tR",
    "REDUCE of a result": EVIL + b"(" + COMMAND + b"tR(" + COMMAND + b"tR",
    "REDUCE of eval": b"c__builtin__\neval\n(" + text("open('TRACE', 'w')") + b"tR",
    "REDUCE of getattr": b"cbuiltins\ngetattr\n(cos\npath\n"
    + text("os")
    + b"tR("
    + COMMAND
    + b"tR",
    "STACK_GLOBAL": text("os") + text("system") + b"\x93(" + COMMAND + b"tR",
    "NEWOBJ": b"csubprocess\nPopen\n(" + COMMAND + b"t\x81",
    "NEWOBJ of a result": EVIL + b"(" + COMMAND + b"tR(" + COMMAND + b"t\x81",
    "NEWOBJ_EX": b"csubprocess\nPopen\n(" + COMMAND + b"t}" + text("shell") + b"\x88s\x92",
    "INST": b"(" + COMMAND + b"ios\nsystem\n",
    "INST without arguments": b"(ios\nsystem\n",
    "OBJ": b"(" + EVIL + COMMAND + b"o",
    "BUILD": EVIL + b"}" + text("__setstate__") + EVIL + b"sb",
    "BUILD of slots": EVIL + b"(N}" + text("__call__") + EVIL + b"stb",
    "BUILD of a function of ours": (b"ctorch._utils\n_rebuild_tensor_v2\n(N}" + DEFAULTS + b"stb"),
    "BUILD of a container": b"ccollections\nOrderedDict\n(N}" + text("items") + EVIL + b"stb",
    "APPEND": EVIL + COMMAND + b"a",
    "APPENDS": EVIL + b"(" + COMMAND + COMMAND + b"e",
    "ADDITEMS": EVIL + b"(" + COMMAND + b"\x90",
    "SETITEM": EVIL + COMMAND + COMMAND + b"s",
    "SETITEMS": EVIL + b"(" + COMMAND + COMMAND + b"u",
    "a key": b"}" + EVIL + b"Ns",
    "a persistent id": b"(" + text("module") + EVIL + COMMAND + COMMAND + b"tQ",
    "another persistent id": COMMAND + b"Q",
    "a tensor by a function": (
        b"ctorch._tensor\n_rebuild_from_type_v2\n(" + EVIL + EVIL + b"(" + COMMAND + b"t}tR"
    ),
}
"""Opcodes that push one object."""


def write(program: bytes, path: pathlib.Path) -> pathlib.Path:
    """Write a checkpoint whose last entry is what `program` pushes."""
    state = {"state_dict": {"weight": np.arange(3, dtype="float32")}}
    content, storages = torch_files.pickled(state, legacy=False)
    torch_files.write_zip(path, content[:-1] + text("extra") + program + b"s.", storages)
    return path


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_runs_and_changes_nothing(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = vars(unpickler).copy(), unpickler._build_tensor.__defaults__
    path = write(PROGRAMS[name], tmp_path / "net.pth")
    np.testing.assert_array_equal(read_checkpoint(path)["weight"], [0, 1, 2])
    assert not pathlib.Path("TRACE").exists()
    assert (vars(unpickler), unpickler._build_tensor.__defaults__) == before


@pytest.mark.parametrize(
    "program", [b"\x82\x01", b"cos\nsystem", b"N}b", b"(K\x01K\x02l}b", b"0"], ids=str
)
def test_opcodes_that_no_file_has_are_damage(program: bytes, tmp_path: pathlib.Path) -> None:
    """An extension code, a cut name, the state of a number or a list, and an empty stack."""
    with pytest.raises(CheckpointError, match="It is damaged"):
        read_checkpoint(write(program, tmp_path / "net.pth"))


def test_tensors_that_cannot_be_read_are_named(tmp_path: pathlib.Path) -> None:
    quantized = b"ctorch._utils\n_rebuild_qtensor\n)R"
    path = tmp_path / "net.pth"
    state = {"weight": np.arange(3, dtype="float32")}
    content, storages = torch_files.pickled(state, legacy=False)
    torch_files.write_zip(path, content[:-1] + text("scale") + quantized + b"s.", storages)
    with pytest.raises(CheckpointError, match="dense tensors. Received: scale by .*_qtensor"):
        read_checkpoint(path)
