"""States on the server: each stream is as it is alone, whoever comes, goes, and sends garbage.

A stream is one of the clips, frame by frame. A plain model in Python tells which slot each has.
"""

import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from exported_network import FRAMES, STREAMS, create_clips, create_network, streams_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds import Values

import mpvn

SLOTS, IDLE = 3, 1e6
IDS = (0, -1, 2**63 - 1, -(2**63), 12, 5)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return create_clips()


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    return create_network(metadata=mpvn.Metadata(pixels="-1..1"))


@pytest.fixture(scope="module")
def expected(network: mpvn.VideoNetwork, clips: np.ndarray) -> Values:
    return streams_alone(network, clips)


@pytest.fixture(scope="module")
def folder(network: mpvn.VideoNetwork, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("exported") / "server"
    network.export(folder, verbose=False, streams=SLOTS, idle=IDLE)
    return folder


class Server:
    """An export that was loaded."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.loaded = tf.saved_model.load(folder)

    def step(self, streams: list[int], frames: np.ndarray) -> Values:
        ids = tf.constant(streams, tf.int64)
        values = self.loaded.signatures["step"](stream_id=ids, video=tf.constant(frames))
        return {name: value.numpy() for name, value in values.items()}

    def reset(self, streams: list[int]) -> list[int]:
        ids = tf.constant(streams, tf.int64)
        return self.loaded.signatures["reset"](stream_id=ids)["steps"].numpy().tolist()

    @property
    def kept(self) -> list[np.ndarray]:
        """What the server keeps of its streams."""
        slots = self.loaded.slots
        variables = (slots.ids, slots.taken, slots.steps, slots.seen, *slots.states.values())
        return [variable.numpy() for variable in variables]

    def let_time_pass(self) -> None:
        """Let all streams be idle for longer than is allowed."""
        self.loaded.slots.seen.assign_sub(tf.fill([SLOTS], tf.constant(2 * IDLE, tf.float64)))


@pytest.fixture(scope="module")
def server(folder: pathlib.Path) -> Server:
    return Server(folder)


@dataclasses.dataclass
class Slot:
    """What the model knows of a slot."""

    stream: int | None = None
    steps: int = 0
    seen: tuple[int, int] = (0, 0)  # how often time has passed, number of the call


class Model:
    """Which streams have slots, by the rules as they are told."""

    def __init__(self) -> None:
        self.slots = [Slot() for _ in range(SLOTS)]
        self.hours = self.calls = 0

    def find(self, stream: int) -> Slot | None:
        return next((slot for slot in self.slots if slot.stream == stream), None)

    def step(self, streams: list[int]) -> list[int] | None:
        """Return the number of each stream's step; None if the call must be refused."""
        self.calls += 1
        new = [stream for stream in streams if not self.find(stream)]
        free = [slot for slot in self.slots if slot.stream is None]
        idle = [s for s in self.slots if s.stream is not None and s.seen[0] < self.hours]
        idle = [slot for slot in idle if slot.stream not in streams]
        claimable = free + sorted(idle, key=lambda slot: slot.seen)
        if len(streams) != len(set(streams)) or not streams or len(new) > len(claimable):
            return None
        for stream, slot in zip(new, claimable, strict=False):
            slot.stream, slot.steps = stream, 0
        own = [self.find(stream) for stream in streams]
        numbers = [slot.steps for slot in own]
        for slot in own:
            slot.steps, slot.seen = slot.steps + 1, (self.hours, self.calls)
        return numbers

    def reset(self, streams: list[int]) -> list[int] | None:
        own = [self.find(stream) for stream in streams]
        if None in own or not own or len(streams) != len(set(streams)):
            return None
        steps = [slot.steps for slot in own]
        for slot in own:
            slot.stream = None
        return steps


def refused(server: Server, call: Callable[[], Any], message: str) -> None:
    """Check that a call is refused and changes nothing."""
    before = server.kept
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call()
    for one, other in zip(before, server.kept, strict=True):
        np.testing.assert_array_equal(one, other)


def frames_of(streams: list[int], model: Model, clips: np.ndarray) -> np.ndarray:
    """Return the next frame of each stream; its clip begins again when it ends."""
    steps = [slot.steps if (slot := model.find(s)) else 0 for s in streams]
    pairs = zip(streams, steps, strict=True)
    rows = [clips[IDS.index(s) % STREAMS, step % FRAMES] for s, step in pairs]
    return np.stack(rows) if rows else np.zeros((0, 4, 4, 3), "float32")


KINDS = ["step"] * 12 + ["time", "time", "reset", "nan", "pixels", "size", "rows"]
calls = st.lists(
    st.tuples(st.sampled_from(KINDS), st.lists(st.sampled_from(IDS), max_size=3)),
    min_size=4,
    max_size=12,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(calls=calls)
def test_streams_come_and_go_as_the_rules_say(
    calls: list[tuple[str, list[int]]], server: Server, clips: np.ndarray, expected: Values
) -> None:
    model = Model()
    for kind, streams in calls:
        frames = frames_of(streams, model, clips)
        if kind == "time":
            server.let_time_pass()
            model.hours += 1
        elif kind == "reset":
            steps = model.reset(streams)
            if steps is None:
                refused(server, lambda s=streams: server.reset(s), "(Unknown|Invalid) stream_id")
            else:
                assert server.reset(streams) == steps
        elif kind != "step":
            garbage(server, kind, streams, frames)
        elif (numbers := model.step(streams)) is None:
            message = "(Invalid stream_id|Too many streams)"
            refused(server, lambda s=streams, f=frames: server.step(s, f), message)
        else:
            check(server.step(streams, frames), streams, numbers, expected)
    for slot in model.slots:
        if slot.stream is not None:
            assert server.reset([slot.stream]) == [slot.steps]


def garbage(server: Server, kind: str, streams: list[int], frames: np.ndarray) -> None:
    """Send frames of which one cannot be computed, of streams that are there and new ones."""
    if len(streams) == 0 or len(set(streams)) < len(streams):
        return
    if kind == "nan":
        frames[-1, 2, 1, 0] = np.nan if len(streams) % 2 else -np.inf
        refused(server, lambda: server.step(streams, frames), rf"the streams \[{streams[-1]}\]")
    elif kind == "pixels":
        frames[-1, 2, 1, 0] = 255
        message = rf"pixels of -1..1.* to 255, in the frames of the streams \[{streams[-1]}\]"
        refused(server, lambda: server.step(streams, frames), message)
    elif kind == "size":
        larger = np.concatenate([frames, frames[:, :1]], axis=1)
        refused(server, lambda: server.step(streams, larger), "not compatible with expected shape")
    else:
        refused(server, lambda: server.step(streams, frames[:0]), "Expected one row for each")


def check(values: Values, streams: list[int], numbers: list[int], expected: Values) -> None:
    assert values["step"].tolist() == numbers
    for row, (stream, number) in enumerate(zip(streams, numbers, strict=True)):
        if number < FRAMES:
            for name, output in expected.items():
                alone = output[IDS.index(stream) % STREAMS, number]
                np.testing.assert_allclose(values[name][row], alone, rtol=1e-4, atol=1e-5)


def test_errors_say_how_many_streams_there_are(server: Server, clips: np.ndarray) -> None:
    server.step([1, 2, 3], clips[:3, 0])
    message = r"at most 3 at a time.* 1 new streams for 0 places; the longest pause of a stream is"
    refused(server, lambda: server.step([2, 4], clips[:2, 1]), message)
    refused(server, lambda: server.step([2, 2], clips[:2, 1]), r"several times: \[2\]")
    refused(server, lambda: server.reset([1, 4]), r"Unknown stream_id.* Received: \[4\]")
    assert server.reset([3, 1, 2]) == [1, 1, 1]


def test_the_stream_that_was_idle_longest_loses_its_place(
    server: Server, clips: np.ndarray
) -> None:
    for stream in (3, 1, 2):
        server.step([stream], clips[:1, 0])
    server.let_time_pass()
    assert server.step([3, 4], clips[:2, 0])["step"].tolist() == [1, 0]
    refused(server, lambda: server.reset([1]), "Unknown stream_id")
    refused(server, lambda: server.step([5, 6], clips[:2, 0]), "2 new streams for 1 places")
    assert server.reset([2, 3, 4]) == [1, 2, 1]


def test_a_clock_that_is_set_back_keeps_no_slot_forever(server: Server, clips: np.ndarray) -> None:
    """Streams of the future would otherwise hold their slots until then."""
    server.step([1, 2, 3], clips[:3, 0])
    server.loaded.slots.seen.assign_add(tf.fill([SLOTS], tf.constant(9 * IDLE, tf.float64)))
    server.step([1], clips[:1, 1])
    server.let_time_pass()
    assert server.step([4, 5, 6], clips[:3, 0])["step"].tolist() == [0, 0, 0]
    assert server.reset([6, 4, 5]) == [1, 1, 1]


def test_the_file_holds_no_rows_of_streams(
    server: Server, folder: pathlib.Path, clips: np.ndarray
) -> None:
    """64 streams of 21 MB would be a file of more than a gigabyte of zeros."""
    server.step([1], clips[:1, 0])
    other = Server(folder)
    assert {len(kept) for kept in server.kept[4:]} == {SLOTS}
    assert {len(kept) for kept in other.kept[4:]} == {0}, "loaded twice, it is two servers"
    assert other.step([1], clips[:1, 0])["step"] == [0]
    assert server.reset([1]) == [1]


def test_concurrent_calls_mix_no_streams(
    server: Server, clips: np.ndarray, expected: Values
) -> None:
    def send(stream: int) -> list[Values]:
        row = IDS.index(stream)
        return [server.step([stream], clips[row : row + 1, t]) for t in range(FRAMES)]

    def disturb() -> int:
        count = 0
        for time in range(FRAMES):
            try:
                server.step([IDS[0], IDS[0]], clips[:2, time])
            except tf.errors.InvalidArgumentError:
                count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(SLOTS + 1) as threads:
        garbage = threads.submit(disturb)
        answers = dict(zip(IDS, threads.map(send, IDS[:SLOTS]), strict=False))
        assert garbage.result(timeout=120) == FRAMES
    for stream, values in answers.items():
        for number, value in enumerate(values):
            check(value, [stream], [number], expected)
    with concurrent.futures.ThreadPoolExecutor(SLOTS) as threads:  # one stream from all of them
        steps = threads.map(lambda t: server.step([IDS[0]], clips[:1, t])["step"][0], range(FRAMES))
        assert sorted(steps) == list(range(FRAMES, 2 * FRAMES))
    assert server.reset([*answers]) == [2 * FRAMES, FRAMES, FRAMES]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"streams": 0}, "Invalid streams. Expected a positive whole number"),
        ({"streams": True}, "Invalid streams"),
        ({"streams": 2, "idle": -1.0}, "Invalid idle"),
        ({"streams": 2, "idle": float("nan")}, "Invalid idle"),
        ({"idle": 5}, "Invalid idle. Expected it with streams only"),
        ({"pixels": "0..1"}, "Invalid pixels. Expected it with images only"),
        ({"images": "png", "pixels": "0..1"}, "Invalid images. Expected one of uint8, jpeg"),
        ({"images": "jpeg"}, "range of its pixels. Received: one that does not"),
        ({"images": "jpeg", "pixels": "0-1"}, "Invalid pixels"),
        ({"classes": -1}, "Invalid classes"),
        ({"classes": 2}, "Received: 0 names"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict, message: str, network: mpvn.VideoNetwork, tmp_path: pathlib.Path
) -> None:
    unknown = mpvn.VideoNetwork(network.frame_model, network.plan)  # without metadata
    with pytest.raises(ValueError, match=message):
        unknown.export(tmp_path / "new", **options)
    assert list(tmp_path.iterdir()) == []
