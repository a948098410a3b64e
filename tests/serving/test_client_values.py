"""Values arrive as they were sent: over JSON as over protocol buffers, of every dtype."""

import ml_dtypes
import numpy as np
import pytest
from served_kinds import BINARY, DOUBLES, NUMBERS, TEXT
from tf_serving_stand_in import StandIn, write_decimal

from mpvn.serving import Client, RequestError

LARGE = 2**53 + 1
"""The first whole number that a float64 has not."""

IMAGE = np.arange(2 * 3 * 3, dtype="uint8").reshape(2, 3, 3) * 14


def frame(**changes: object) -> dict:
    numbers = np.array(NUMBERS, "float32")
    return {"image": IMAGE, "file": BINARY, "numbers": numbers, **changes}


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def client(protocol: str, server: StandIn) -> Client:
    address = server.address(protocol)
    options = {"stream_id": LARGE, "on_restart": lambda _: None, "timeout": 5.0}
    return Client(address, "kinds", retry_for=0, **options)


def test_values_of_every_dtype_are_exact(client: Client) -> None:
    outputs = client.step(frame())
    numbers = np.array(NUMBERS, "float32")
    expected = {
        "sum": np.int64(IMAGE.sum()),
        "image": IMAGE,
        "length": np.int32(len(BINARY)),
        "numbers": numbers,
        "doubles": np.array(DOUBLES),
        "is_nan": np.isnan(numbers),
        "large": np.int64(LARGE),
    }
    for name, value in expected.items():
        assert outputs[name].dtype == value.dtype, name
        np.testing.assert_array_equal(outputs[name], value, name)
    assert outputs["file_bytes"] == BINARY
    assert list(outputs["classes"]) == [TEXT, "run"]
    assert len(outputs) == len(expected) + 2


def test_low_precision_travels_where_the_protocol_has_it(protocol: str, server: StandIn) -> None:
    address = server.address(protocol)
    client = Client(address, "kinds", signature="low", retry_for=0, on_restart=lambda _: None)
    values = np.array([0.1, -3.0], ml_dtypes.bfloat16)
    if protocol == "http":
        with pytest.raises(RequestError, match="bfloat16"):
            client.step(values)
        return
    outputs = client.step(values)
    np.testing.assert_array_equal(outputs["double"], 2 * values)
    assert outputs["double"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(outputs["half"], values.astype("float16"))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"image": IMAGE.astype("float32")}, TypeError, r"uint8 \[any, any, 3\].*float32"),
        ({"image": IMAGE[..., :2]}, ValueError, r"Received: shape \[2, 3, 2\]"),
        ({"image": IMAGE[None]}, ValueError, r"without a batch axis"),
        ({"image": IMAGE.astype("int32") + 250}, ValueError, "250 to 488"),
        ({"numbers": np.zeros(8, "uint8")}, TypeError, "Bring the pixels to the range"),
        ({"numbers": np.zeros(8, "bool")}, TypeError, "Received: bool"),
        ({"numbers": np.full(8, 1e300)}, ValueError, "float64 with 1e[+]300"),
        ({"file": IMAGE}, TypeError, "bytes of a JPEG|Expected bytes"),
        ({"extra": 1}, ValueError, "image, numbers. Received: .*extra"),
    ],
)
def test_frames_that_do_not_fit_are_not_sent(
    changes: dict, error: type[Exception], message: str, server: StandIn
) -> None:
    client = Client(server.address("grpc"), "kinds", retry_for=0)
    with pytest.raises(error, match=message):
        client.step(frame(**changes))
    with pytest.raises(ValueError, match="a dict with file, image, numbers"):
        client.step(IMAGE)
    assert server.steps == 0


def test_whole_numbers_and_floats_of_other_sizes_are_sent(client: Client) -> None:
    """Where no value changes its meaning, dtypes may differ."""
    numbers = np.arange(8) / 4  # float64, exact in float32
    outputs = client.step(frame(image=IMAGE.astype("int64"), numbers=numbers))
    np.testing.assert_array_equal(outputs["image"], IMAGE)
    np.testing.assert_array_equal(outputs["numbers"], numbers.astype("float32"))


def test_decimals_of_the_stand_in_are_those_of_tensorflow_serving() -> None:
    """The reference of this file: `WriteDecimal` of TensorFlow Serving."""
    values = {0.2: "0.2", 9e6: "9e+06", 7.0: "7.0", 1 / 3: "0.333333343", 16777216.0: "16777216.0"}
    assert [write_decimal(np.float32(each)) for each in values] == list(values.values())
