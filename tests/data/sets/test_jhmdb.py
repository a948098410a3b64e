"""The reader of JHMDB."""

import sys

import numpy as np
import pytest
from fake_sets import FRAMES, FakeSet, assert_frames, levels, raises

from mpvn.data import SETS


def positions(level: int) -> np.ndarray:
    """MATLAB's `[2, 15, frames]`, from 1 on. The last joint is outside of the picture."""
    values = np.random.default_rng(level).uniform(1, 31, (2, 15, FRAMES))
    values[:, 14] = [[48.6], [10]]
    values[:, 13] = [[48.4], [32.4]]
    return values


@pytest.fixture
def jhmdb(fake: FakeSet) -> FakeSet:
    io = pytest.importorskip("scipy.io", reason="SciPy reads the joints of JHMDB")
    for at, name in enumerate(["wave", "catch"]):
        rows = []
        for n, code in ((0, 1), (1, 2), (2, 1)):
            level = 20 + 60 * at + 20 * n
            fake.images(f"Rename_Images/{name}/v {n}.png", level)
            path = fake.root / "joint_positions" / name / f"v {n}" / "joint_positions.mat"
            path.parent.mkdir(parents=True)
            io.savemat(path, {"pos_img": positions(level), "scale": np.ones(FRAMES)})
            rows.append(f"v {n}.avi {code}")
        fake.text(f"splits/{name}_test_split1.txt", rows)
    return fake


def test_classes_frames_and_joints(jhmdb: FakeSet) -> None:
    train = SETS["jhmdb"](jhmdb.root)
    assert (train.name, train.classes) == ("JHMDB train 1", ("catch", "wave"))
    assert levels(train) == [(0, 80), (0, 120), (1, 20), (1, 60)]
    assert_frames(train, 30)
    assert levels(SETS["jhmdb"](jhmdb.root, "test")) == [(0, 100), (1, 40)]
    assert len(train.joints) == 15
    assert (train.joints[3], train.joints[4]) == ("right_shoulder", "left_shoulder")
    assert train.mirrored_joints[3:5] == (4, 3)
    joints = train.videos[1].joints([2, 5])
    assert joints is not None
    joints = joints[:, 0]
    expected = positions(120)[:, :, [2, 5]].transpose(2, 1, 0) - 1
    np.testing.assert_allclose(joints[..., :2], expected, rtol=1e-6)
    np.testing.assert_array_equal(joints[..., 2], [[1] * 14 + [0]] * 2)


def test_errors(jhmdb: FakeSet) -> None:
    import scipy.io

    joints = jhmdb.root / "joint_positions" / "wave"
    scipy.io.savemat(joints / "v 0/joint_positions.mat", {"pos_img": np.ones((2, 15, 3))})
    (joints / "v 2/joint_positions.mat").unlink()
    for image in (jhmdb.root / "Rename_Images/catch/v 0").iterdir():
        image.unlink()
    with raises(
        "3 problems",
        "v 0: expected a folder of images",
        "expected pos_img of shape [2, 15, 8]. Received: [2, 15, 3]",
        "does not exist",
        "Rename_Images.tar.gz",
    ):
        SETS["jhmdb"](jhmdb.root)
    (joints / "v 1/joint_positions.mat").write_bytes(b"none" * 100)
    with raises("v 1", "expected a MATLAB file"):
        SETS["jhmdb"](jhmdb.root, "test")


def test_without_scipy(fake: FakeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.images("Rename_Images/wave/v.png")
    fake.text("joint_positions/wave/v/joint_positions.mat", ["MATLAB 5.0 MAT-file"])
    fake.text("splits/wave_test_split1.txt", ["v.avi 1"])
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        SETS["jhmdb"](fake.root)
