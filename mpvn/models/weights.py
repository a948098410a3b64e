"""Published weights by name: where they are, what network they are for, and their download.

Nothing is downloaded unless weights are asked for by name. A file is kept in Keras's folder of
models (`~/.keras/models`, or that of `KERAS_HOME`), where a file from elsewhere may be put as well.

Checksums: the names of the files of torchvision and mmaction2 end in the first eight digits of
their SHA-256. TSM's authors publish none, so their files are not checked.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import socket
import types
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from mpvn.files import AtomicPath, writing

_PATIENCE = 30.0  # seconds without data after which a download has failed


class WeightsError(ValueError):
    """Published weights that cannot be downloaded, or a file that is not what was published."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """Published weights.

    Attributes:
        address: Where the file is.
        network: The network: a key of `PUBLISHED`, or the name in torchvision of an image network.
        classes: Number of classes.
        data: The data set: a key of `mpvn.data.SETS`, or `"imagenet"`.
        options: Options of the network's builder that the weights need.
        frames: Number of frames of the clips they were trained on; None for images.
        sampling: How these clips were sampled; see `mpvn.Metadata`.
        channels: Channels of the frames: 3 for RGB, 10 for five images of optical flow.
        names: Names of the classes, in order; empty where only the data set has them.
        by_name: Whether the classes of the data set are in the order of their names, whatever
            their order in its lists.
    """

    address: str
    network: str
    classes: int
    data: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    frames: int | None = None
    sampling: str = "segments"
    channels: int = 3
    names: tuple[str, ...] = ()
    by_name: bool = False

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.address.rpartition("/")[2]

    @property
    def sha256(self) -> str:
        """The first digits of the checksum; empty if it is not known."""
        digits = re.search(r"-([0-9a-f]{8})\.pth$", self.file)
        return digits[1] if digits else ""

    @property
    def path(self) -> pathlib.Path:
        """Where the file is kept on this machine."""
        home = os.environ.get("KERAS_HOME") or pathlib.Path("~", ".keras").expanduser()
        return pathlib.Path(home, "models", self.file)


def published_weights(weights: str | os.PathLike | None) -> Weights | None:
    """Return what is known of weights: a name in `WEIGHTS`, or a file with its published name."""
    if weights is None or str(weights) in WEIGHTS:
        return WEIGHTS.get(str(weights))
    file = pathlib.Path(weights).name
    return next((each for each in WEIGHTS.values() if each.file == file), None)


def weights_file(name: str | os.PathLike) -> pathlib.Path:
    """Return the path of weights: a name in `WEIGHTS` is downloaded the first time.

    Args:
        name: A name in `WEIGHTS`, or a path.

    Raises:
        WeightsError: The download fails, or a file is not what was published.
        WriteError: The file cannot be written.
    """
    published = WEIGHTS.get(str(name))
    if published is None:
        return pathlib.Path(name)
    if not published.path.exists():
        _download(str(name), published)
    else:
        _check(published, published.path, f"Delete {published.path} to download it again")
    return published.path


def _download(name: str, published: Weights) -> None:
    path = published.path
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with AtomicPath(path) as temporary, _patience():
        try:
            keras.utils.get_file(
                temporary.name,
                published.address,
                cache_dir=str(temporary.parent),
                cache_subdir="",
                force_download=True,
            )
        except Exception as error:  # Keras raises Exception, and the network errors of many kinds
            raise WeightsError(
                f"The weights {name} are not on this machine and cannot be downloaded. Expected "
                f"{published.address}. Received: {error!r}. Connect and try again, or download "
                f"the file elsewhere and put it at {path}"
            ) from error
        _check(published, temporary, f"Try again, or get the file elsewhere and put it at {path}")


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Let downloads fail that get no data for a while."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _check(published: Weights, path: pathlib.Path, remedy: str) -> None:
    """Raise `WeightsError` if a file does not have the checksum, as far as it is known."""
    if not published.sha256:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(published.sha256):
        raise WeightsError(
            f"{published.file} is not the file that was published at {published.address}. Expected "
            f"a SHA-256 that begins with {published.sha256}. Received: {found}. {remedy}"
        )


# --- the files -----------------------------------------------------------------------------------

_TSM = "https://hanlab18.mit.edu/projects/tsm/models/"
_MMACTION = "https://download.openmmlab.com/mmaction/v1.0/recognition/tsm/"
_TORCHVISION = "https://download.pytorch.org/models/"

_JESTER = (
    "Doing other things",
    "Drumming Fingers",
    "No gesture",
    "Pulling Hand In",
    "Pulling Two Fingers In",
    "Pushing Hand Away",
    "Pushing Two Fingers Away",
    "Rolling Hand Backward",
    "Rolling Hand Forward",
    "Shaking Hand",
    "Sliding Two Fingers Down",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
    "Sliding Two Fingers Up",
    "Stop Sign",
    "Swiping Down",
    "Swiping Left",
    "Swiping Right",
    "Swiping Up",
    "Thumb Down",
    "Thumb Up",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
    "Zooming In With Full Hand",
    "Zooming In With Two Fingers",
    "Zooming Out With Full Hand",
    "Zooming Out With Two Fingers",
)
"""The gestures in the order of the online demonstration of TSM's authors."""


def _tsm(file: str, network: str, data: str, frames: int = 8, **others: Any) -> Weights:
    """Weights of TSM's authors (mit-han-lab/temporal-shift-module, README).

    Their lists of Something-Something V1 (tools/gen_label_sthv1.py) sort the classes.
    """
    classes = {"kinetics400": 400, "jester": 27}.get(data, 174)
    others["by_name"] = data == _V1
    return Weights(f"{_TSM}{file}", network, classes, data, frames=frames, **others)


def _mmaction(
    recipe: str, end: str, network: str, data: str, frames: int = 8, **others: Any
) -> Weights:
    """Weights of mmaction2 (version 1, configs/recognition/tsm/README.md)."""
    folder, classes = f"tsm_imagenet-pretrained-{recipe}", {"kinetics400": 400}.get(data, 174)
    address = f"{_MMACTION}{folder}/{folder}_{end}.pth"
    return Weights(address, network, classes, data, frames=frames, **others)


def _image(file: str, network: str) -> Weights:
    return Weights(f"{_TORCHVISION}{file}.pth", network, 1000, "imagenet")


_K400, _V1, _V2 = "kinetics400", "something_something_v1", "something_something_v2"
_R50, _R101, _MOBILE = "tsm_resnet50", "tsm_resnet101", "tsm_mobilenet_v2"
_DENSE: dict[str, Any] = {"sampling": "dense"}

WEIGHTS: Mapping[str, Weights] = types.MappingProxyType(
    {
        "tsn_resnet50_kinetics400": _tsm(
            "TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth", _R50, _K400, options={"shift": False}
        ),
        "tsm_resnet50_kinetics400": _tsm(
            "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth", _R50, _K400
        ),
        "tsm_resnet50_kinetics400_16f": _tsm(
            "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment16_e50.pth", _R50, _K400, 16
        ),
        "tsm_resnet50_kinetics400_dense": _tsm(
            "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense.pth",
            _R50,
            _K400,
            **_DENSE,
        ),
        "non_local_resnet50_kinetics400_dense": _tsm(
            "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense_nl.pth",
            "non_local_resnet50",
            _K400,
            **_DENSE,
        ),
        "tsm_mobilenet_v2_kinetics400_dense": _tsm(
            "TSM_kinetics_RGB_mobilenetv2_shift8_blockres_avg_segment8_e100_dense.pth",
            _MOBILE,
            _K400,
            **_DENSE,
        ),
        "tsm_resnet50_kinetics400_flow": _tsm(
            "TSM_kinetics_Flow_resnet50_shift8_blockres_avg_segment8_e50.pth",
            _R50,
            _K400,
            channels=10,
        ),
        "tsm_resnet50_something_v1": _tsm(
            "TSM_something_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth", _R50, _V1
        ),
        "tsm_resnet50_something_v1_16f": _tsm(
            "TSM_something_RGB_resnet50_shift8_blockres_avg_segment16_e45.pth", _R50, _V1, 16
        ),
        "tsm_resnet101_something_v1": _tsm(
            "TSM_something_RGB_resnet101_shift8_blockres_avg_segment8_e45.pth", _R101, _V1
        ),
        "tsm_resnet50_something_v2": _tsm(
            "TSM_somethingv2_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth", _R50, _V2
        ),
        "tsm_resnet50_something_v2_16f": _tsm(
            "TSM_somethingv2_RGB_resnet50_shift8_blockres_avg_segment16_e45.pth", _R50, _V2, 16
        ),
        "tsm_resnet101_something_v2": _tsm(
            "TSM_somethingv2_RGB_resnet101_shift8_blockres_avg_segment8_e45.pth", _R101, _V2
        ),
        "tsm_mobilenet_v2_jester_online": _tsm(
            "mobilenetv2_jester_online.pth.tar",
            _MOBILE,
            "jester",
            options={"temporal_padding": "causal"},
            names=_JESTER,
        ),
        "mmaction2_tsm_resnet50_kinetics400": _mmaction(
            "r50_8xb16-1x1x8-50e_kinetics400-rgb", "20220831-64d69186", _R50, _K400
        ),
        "mmaction2_tsm_resnet50_kinetics400_100e": _mmaction(
            "r50_8xb16-1x1x8-100e_kinetics400-rgb", "20220831-a6db1e5d", _R50, _K400
        ),
        "mmaction2_tsm_resnet50_kinetics400_16f": _mmaction(
            "r50_8xb16-1x1x16-50e_kinetics400-rgb", "20220831-042b1748", _R50, _K400, 16
        ),
        "mmaction2_tsm_resnet50_kinetics400_dense": _mmaction(
            "r50_8xb16-dense-1x1x8-50e_kinetics400-rgb", "20220831-f55d3c2b", _R50, _K400, **_DENSE
        ),
        "mmaction2_non_local_resnet50_kinetics400": _mmaction(
            "r50-nl-embedded-gaussian_8xb16-1x1x8-50e_kinetics400-rgb",
            "20220831-35eddb57",
            "non_local_resnet50",
            _K400,
        ),
        "mmaction2_tsm_mobilenet_v2_kinetics400": _mmaction(
            "mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb", "20230414-401127fd", _MOBILE, _K400
        ),
        "mmaction2_tsm_resnet50_something_v2": _mmaction(
            "r50_8xb16-1x1x8-50e_sthv2-rgb", "20230317-be0fc26e", _R50, _V2
        ),
        "mmaction2_tsm_resnet50_something_v2_16f": _mmaction(
            "r50_8xb16-1x1x16-50e_sthv2-rgb", "20230317-ec6696ad", _R50, _V2, 16
        ),
        "mmaction2_tsm_resnet101_something_v2": _mmaction(
            "r101_8xb16-1x1x8-50e_sthv2-rgb", "20230320-efcc0d1b", _R101, _V2
        ),
        "resnet50_imagenet": _image("resnet50-0676ba61", "resnet50"),
        "resnet50_imagenet_v2": _image("resnet50-11ad3fa6", "resnet50"),
        "resnet101_imagenet": _image("resnet101-63fe2227", "resnet101"),
        "resnet101_imagenet_v2": _image("resnet101-cd907fc2", "resnet101"),
        "resnext101_32x8d_imagenet": _image("resnext101_32x8d-8ba56ff5", "resnext101_32x8d"),
        "resnext101_32x8d_imagenet_v2": _image("resnext101_32x8d-110c445d", "resnext101_32x8d"),
        "mobilenet_v2_imagenet": _image("mobilenet_v2-b0353104", "mobilenet_v2"),
        "mobilenet_v2_imagenet_v2": _image("mobilenet_v2-7ebf99e0", "mobilenet_v2"),
    }
)
"""Published weights by name."""
