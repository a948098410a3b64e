"""Checkpoints of PyTorch, in files that are written here in the official layouts.

Names, shapes and their order are spelt out below from the official networks, not taken from ours.
"""

import collections
import io
import json
import os
import pathlib
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from mpvn.models import insert_temporal_shift, tsm_mobilenet_v2, tsm_resnet
from mpvn.models.torch_import import CheckpointError, import_torch, read_checkpoint

SIZE = (32, 32, 3)
WIDTH = 0.05  # all channels of the networks here are 8, 16, ...

# --- files as torch.save writes them ------------------------------------------------------------


class Storage:
    """The values of one or more tensors."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.ascontiguousarray(values).ravel()


class View:
    """A tensor of some of the values of a storage."""

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> None:
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())


@pytest.fixture
def save(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pathlib.Path]:
    """Writes an object as `torch.save` does: today's format, or the one before PyTorch 1.6."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    kinds = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}
    for name in kinds.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*arguments: Any) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2

    def pickled(saved: Any, legacy: bool) -> tuple[bytes, list[Storage]]:
        storages: list[Storage] = []

        class Pickler(pickle.Pickler):
            def persistent_id(self, thing: Any) -> Any:
                if not isinstance(thing, Storage):
                    return None
                if thing not in storages:
                    storages.append(thing)
                kind = getattr(torch, kinds[thing.values.dtype.str[1:]])
                key = str(storages.index(thing))
                entry = ("storage", kind, key, "cuda:0", thing.values.size)
                return (*entry, None) if legacy else entry

            def reducer_override(self, thing: Any) -> Any:
                if isinstance(thing, np.ndarray):
                    strides = tuple(step // thing.itemsize for step in thing.strides)
                    thing = View(Storage(thing), 0, thing.shape, strides)
                if isinstance(thing, View):
                    return utils._rebuild_tensor_v2, thing.arguments
                return NotImplemented

        buffer = io.BytesIO()
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, "torch", torch)
            patched.setitem(sys.modules, "torch._utils", utils)
            Pickler(buffer, protocol=2).dump(saved)
        return buffer.getvalue(), storages

    def save(saved: Any, legacy: bool = False, name: str = "net.pth.tar") -> pathlib.Path:
        content, storages = pickled(saved, legacy)
        path = tmp_path / name
        if not legacy:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("archive/data.pkl", content)
                archive.writestr("archive/byteorder", "little")
                for key, storage in enumerate(storages):
                    archive.writestr(f"archive/data/{key}", storage.values.tobytes())
            return path
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
        keys = [str(key) for key in range(len(storages))]
        first = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, system)]
        values = [struct.pack("<q", s.values.size) + s.values.tobytes() for s in storages]
        path.write_bytes(b"".join([*first, content, pickle.dumps(keys, 2), *values]))
        return path

    return save


# --- the official layouts -----------------------------------------------------------------------

State = dict[str, np.ndarray]


class Layout:
    """Collects the tensors of a network under the names of one of the two code bases."""

    def __init__(self, seed: int = 0, mmaction: bool = False) -> None:
        self.state: State = {}
        self.mmaction = mmaction
        self.prefix = "backbone." if mmaction else "module.base_model."
        self._rng = np.random.default_rng(seed)

    def put(self, name: str, *shape: int) -> None:
        self.state[name] = self._rng.uniform(0.5, 1.5, shape).astype("float32")

    def norm(self, name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            self.put(f"{self.prefix}{name}.{part}", channels)
        self.state[f"{self.prefix}{name}.num_batches_tracked"] = np.array(7, "int64")

    def conv(self, name: str, *shape: int) -> None:
        self.put(f"{self.prefix}{name}.weight", *shape)

    def head(self, classes: int, channels: int) -> State:
        name = "cls_head.fc_cls" if self.mmaction else "module.new_fc"
        self.put(f"{name}.weight", classes, channels)
        self.put(f"{name}.bias", classes)
        return self.state


def resnet_state(
    mmaction: bool = False, shift: bool = True, non_local: bool = False, seed: int = 0
) -> State:
    """ResNet-50 of width 0.05: 8 channels in conv1, and these in the stages."""
    inner, outer = (8, 8, 16, 32), (16, 32, 56, 104)
    layout = Layout(seed, mmaction)
    conv, norm = (".conv", ".bn") if mmaction else ("", "")
    net = ".net" if shift else ""
    layout.conv(f"conv1{conv}", 8, 3, 7, 7)
    layout.norm("conv1.bn" if mmaction else "bn1", 8)
    read = 8
    for stage, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            wrapped = non_local and stage in (1, 2) and block % 2 == 0
            name = outside = f"layer{stage + 1}.{block}"
            name += ".block" if wrapped else ""
            shapes = ((inner[stage], read, 1, 1), (inner[stage], inner[stage], 3, 3),
                      (outer[stage], inner[stage], 1, 1))  # fmt: skip
            for number, shape in enumerate(shapes, 1):
                layout.conv(f"{name}.conv{number}{conv}{net if number == 1 else ''}", *shape)
                bn = f"{name}.conv{number}{norm}" if mmaction else f"{name}.bn{number}"
                layout.norm(bn, shape[0])
            if block == 0:
                layout.conv(f"{name}.downsample{conv or '.0'}", outer[stage], read, 1, 1)
                layout.norm(f"{name}.downsample{norm or '.1'}", outer[stage])
            read = outer[stage]
            if wrapped:
                nl = f"{outside}.{'non_local_block' if mmaction else 'nl'}"
                for part in ("g.0", "theta", "phi.0"):
                    layout.conv(f"{nl}.{part}{conv}", read // 2, read, 1, 1, 1)
                    layout.put(f"{layout.prefix}{nl}.{part}{conv}.bias", read // 2)
                last = f"{nl}.conv_out.conv" if mmaction else f"{nl}.W.0"
                layout.conv(last, read, read // 2, 1, 1, 1)
                if not mmaction:
                    layout.put(f"{layout.prefix}{last}.bias", read)
                layout.norm(f"{nl}.conv_out.bn" if mmaction else f"{nl}.W.1", read)
    return layout.head(5, read)


def mobilenet_state(mmaction: bool = False, online: bool = False, seed: int = 0) -> State:
    """MobileNetV2 of width 0.05: 8 channels in most places, 16 in the last block."""
    layout = Layout(seed, mmaction)
    if online:
        layout.prefix = ""
    # In mmaction a shift wraps convolution and batch norm; officially the convolution.
    layout.conv("conv1.conv" if mmaction else "features.0.0", 8, 3, 3, 3)
    layout.norm("conv1.bn" if mmaction else "features.0.1", 8)
    number, read = 0, 8
    for stage, count in enumerate((1, 2, 3, 4, 3, 3, 1), 1):
        outer = 16 if stage == 7 else 8
        for block in range(count):
            number += 1
            strided = block == 0 and stage in (2, 3, 4, 6)
            shifted = not online and not strided and number > 1 and read == outer
            inner = 8 if stage == 1 else 6 * read
            shapes = [(inner, 1, 3, 3), (outer, inner, 1, 1)]
            if stage > 1:
                shapes.insert(0, (inner, read, 1, 1))
            for index, shape in enumerate(shapes):
                net = ".net" if shifted and index == 0 else ""
                if mmaction:
                    name = f"layer{stage}.{block}.conv.{index}{net}"
                    names = (f"{name}.conv", f"{name}.bn")
                else:
                    name = f"features.{number}.conv."
                    names = (f"{name}{3 * index}{net}", f"{name}{3 * index + 1}")
                layout.conv(names[0], *shape)
                layout.norm(names[1], shape[0])
            read = outer
    layout.conv("conv2.conv" if mmaction else "features.18.0", 1280, 16, 1, 1)
    layout.norm("conv2.bn" if mmaction else "features.18.1", 1280)
    state = layout.head(5, 1280)
    for part in ("weight", "bias"):
        if online:
            state[f"classifier.{part}"] = state.pop(f"module.new_fc.{part}")
    return state


def resnet(**options: Any) -> keras.Model:
    return tsm_resnet(SIZE, width=WIDTH, classes=5, name="ours", **options)


def mobilenet(**options: Any) -> keras.Model:
    return tsm_mobilenet_v2(SIZE, width=WIDTH, classes=5, name="ours", **options)


def values(model: keras.Model) -> list[np.ndarray]:
    return model.get_weights()


def assert_same(ours: keras.Model, theirs: keras.Model) -> None:
    for our, their in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_array_equal(our, their)


# --- what is imported ---------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_every_tensor_of_a_file_is_read(legacy: bool, save: Callable) -> None:
    state = resnet_state()
    state["half"], state["whole"] = np.ones((2, 3), "float16"), np.arange(4.0)
    base = Storage(np.arange(12, dtype="float32"))
    saved = collections.OrderedDict(state)
    saved["turned"], saved["shared"] = View(base, 1, (2, 3), (1, 4)), View(base, 4, (8,), (1,))
    saved["nothing"] = np.zeros((0, 3), "float32")
    whole = {"epoch": 3, "best_prec1": np.array(0.5), "state_dict": saved, "optimizer": {"lr": []}}
    for thing in (saved, whole):
        found = read_checkpoint(save(thing, legacy))
        assert set(found) == set(saved)
        for key, value in state.items():
            np.testing.assert_array_equal(found[key], value)
            assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found["turned"], [[1, 5, 9], [2, 6, 10]])
        np.testing.assert_array_equal(found["shared"], range(4, 12))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_a_resnet_takes_its_weights_in_any_order(
    legacy: bool, save: Callable, rng: np.random.Generator
) -> None:
    state = resnet_state()
    model = resnet()
    done = import_torch(model, save({"state_dict": state}, legacy))
    assert len(done.loaded) == len(model.weights)
    assert set(done.loaded) | set(done.ignored) == set(state)
    assert done.zeroed == ()
    assert "loaded 267 tensors, ignored 53 counters" in str(done)
    kernel = state["module.base_model.layer2.0.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("conv3_block1.2_conv").kernel, kernel)
    bias = state["module.base_model.layer2.0.downsample.1.bias"]
    np.testing.assert_array_equal(model.get_layer("conv3_block1.0_bn").beta, bias)
    weight = state["module.new_fc.weight"].T
    np.testing.assert_array_equal(model.get_layer("head.logits").kernel, weight)
    keys = list(rng.permutation(list(state)))
    shuffled = {key.removeprefix("module."): state[key] for key in keys}
    again = resnet()
    import_torch(again, save(shuffled, legacy))
    assert_same(again, model)


def test_the_layouts_of_both_code_bases_give_the_same_network(save: Callable) -> None:
    """The tensors are made in the same order with the same seed."""
    for make, build in ((resnet_state, resnet), (mobilenet_state, mobilenet)):
        models = build(), build()
        for model, mmaction in zip(models, (False, True), strict=True):
            done = import_torch(model, save(make(mmaction=mmaction)))
            assert done.layout == ("mmaction2" if mmaction else "official")
        assert_same(*models)


def test_a_mobilenet_takes_online_and_offline_weights(save: Callable) -> None:
    offline, online = mobilenet(), mobilenet(temporal_padding="causal")
    state = mobilenet_state()
    import_torch(offline, save(state))
    import_torch(online, save(mobilenet_state(online=True)))
    assert_same(online, offline)
    depthwise = state["module.base_model.features.2.conv.3.weight"].transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(online.get_layer("block2.depthwise_conv").kernel, depthwise)


def test_a_non_local_network_takes_its_weights(save: Callable) -> None:
    state = resnet_state(non_local=True)
    model = resnet(non_local=True)
    import_torch(model, save(state))
    theta = state["module.base_model.layer3.2.nl.theta.weight"][:, :, 0, 0, 0].T
    np.testing.assert_array_equal(model.get_layer("conv4_block3.nl").theta.kernel, theta)
    last = state["module.base_model.layer3.2.nl.W.0.weight"][None, None, :, :, 0, 0, 0]
    layer = model.get_layer("conv4_block3.nl_conv")
    np.testing.assert_array_equal(layer.kernel, last.swapaxes(-1, -2))
    assert np.any(layer.bias)
    done = import_torch(model, save(resnet_state(mmaction=True, non_local=True)))
    assert len(done.zeroed) == 5
    assert not np.any(layer.bias)


def test_shifts_may_be_inserted_in_place_or_be_in_no_file(save: Callable) -> None:
    """A file without `.net` does not say whether its network shifts."""
    import_torch(resnet(), save(resnet_state(shift=False)))
    import_torch(resnet(shift=False), save(resnet_state(shift=False)))
    import_torch(insert_temporal_shift(resnet(shift=False)), save(resnet_state()))
    state = {}
    for key, value in resnet_state(shift=False).items():
        stage, *rest = key.partition("layer")[2].split(".", 2)
        moved = f"module.base_model.layer{stage}.{rest[0]}.net.{rest[1]}" if rest else key
        state[moved if "layer" in key else key] = value
    model = resnet(placement="in_place")
    import_torch(model, save(state))
    with pytest.raises(CheckpointError, match="file alone: layer1.0 in_place.*\n.*layer1.0 res"):
        import_torch(resnet(), save(state))


# --- what is refused ----------------------------------------------------------------------------


def test_all_faults_are_listed_and_nothing_changes(save: Callable) -> None:
    state = resnet_state()
    prefix = "module.base_model."
    del state[f"{prefix}layer1.1.bn2.weight"], state[f"{prefix}conv1.weight"]
    state[f"{prefix}layer9.0.conv1.weight"] = np.ones((1, 1, 1, 1), "float32")
    state[f"{prefix}layer1.0.conv2.weight"] = np.ones((8, 8, 1, 1), "float32")
    state["module.new_fc.weight"] = np.ones((174, 104), "float32")
    state["new_fc.bias"] = state["module.new_fc.bias"]
    state[f"{prefix}layer1.0.conv1.weight"] = state.pop(f"{prefix}layer1.0.conv1.net.weight")
    model = resnet()
    before = values(model)
    with pytest.raises(CheckpointError) as refused:
        import_torch(model, save(state))
    message = str(refused.value)
    for fault in (
        "layer1.1.bn2.weight: missing",
        "conv1.weight: missing",
        "layer9.0.conv1.weight: 'ours' has no such weight",
        "layer1.0.conv2.weight: expected (8, 8, 3, 3), got (8, 8, 1, 1)",
        "module.new_fc.weight: expected (5, 104), got (174, 104)",
        "new_fc.bias: the same weight as module.new_fc.bias",
        "shifted in 'ours' alone: layer1.0 residual",
    ):
        assert fault in message
    assert message.count("\n  - ") == 8
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("make", "state", "message"),
    [
        (mobilenet, resnet_state, "layer1.0.conv1.net.weight: 'ours' has no such weight"),
        (resnet, mobilenet_state, "features.18.1.bias: 'ours' has no such weight"),
        (lambda: resnet(shift=False), resnet_state, "in the file alone: layer1.0 residual, lay"),
        (lambda: resnet(non_local=True), resnet_state, "layer2.0.nl.theta.weight: missing"),
    ],
)
def test_a_file_of_another_network_is_refused(
    make: Callable, state: Callable, message: str, save: Callable
) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_torch(make(), save(state()))


def test_a_network_of_other_layers_is_refused(save: Callable) -> None:
    frame = keras.Input((8, 8, 3))
    model = keras.Model(
        frame, keras.layers.LayerNormalization(name="other.norm")(frame), name="named"
    )
    with pytest.raises(CheckpointError, match="'named' is none of .*'other.norm'"):
        import_torch(model, save(resnet_state()))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_a_truncated_file_is_refused(legacy: bool, save: Callable) -> None:
    path = save({"state_dict": mobilenet_state(online=True)}, legacy)
    content = path.read_bytes()
    for share in (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(CheckpointError, match="net.pth.tar is no checkpoint that can be read"):
            import_torch(mobilenet(), path)
    with pytest.raises(FileNotFoundError):
        import_torch(mobilenet(), path.with_name("none.pth"))


class Program:
    """What a hostile file makes of a pickle."""

    def __init__(self, trace: pathlib.Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_a_file_runs_no_program(legacy: bool, save: Callable, tmp_path: pathlib.Path) -> None:
    trace = tmp_path / "trace"
    state = {"state_dict": resnet_state(), "extra": Program(trace)}
    with pytest.raises(CheckpointError, match="would import .*system; only tensors are read"):
        read_checkpoint(save(state, legacy))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"state_dict": {"weight": 3}}, "does not consist of tensors"),
        ({}, "does not consist of tensors"),
        ([1, 2], "damaged"),
        ({"w": View(Storage(np.ones(4, "f4")), 2, (3,), (1,))}, r"\(3,\) lies outside"),
        ({"w": View(Storage(np.ones(4, "f4")), -1, (1,), (1,))}, "outside its storage"),
        ({"w": View(Storage(np.ones(4, "f4")), 3, (2,), (-1,))}, "outside its storage"),
    ],
)
def test_what_is_no_state_dict_is_refused(saved: Any, message: str, save: Callable) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(save(saved))


def test_the_names_above_are_the_official_ones(shared: pathlib.Path) -> None:
    """But for the prefix of models trained on several devices, and the counters."""
    for name, state in (
        ("tsm_resnet50", resnet_state()),
        ("tsm_mobilenetv2", mobilenet_state()),
        ("tsm_mobilenetv2_online", mobilenet_state(online=True)),
    ):
        listed = json.loads((shared / "golden" / f"{name}.json").read_text())["tensors"]
        ours = {key.removeprefix("module.") for key in state if "num_batches" not in key}
        official = {key for key, *_ in listed}
        # At width 0.05 one block more has as many channels after as before, and is shifted.
        assert {key.replace(".net", "") for key in ours} == {
            k.replace(".net", "") for k in official
        }
        assert ours >= official or "mobilenet" in name
