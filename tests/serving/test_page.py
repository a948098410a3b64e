"""The page in a browser: Chromium without a display, with its fake camera."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import keras
import numpy as np
import pytest
import video_files
from PIL import Image
from serving_networks import NAMES, Served

import mpvn
import mpvn.serving
from mpvn.data.video.framing import Cropped
from mpvn.prediction.models import open_model
from mpvn.report.theme import COLORS, category
from mpvn.serving.server.access import Access

sync_api = pytest.importorskip("playwright.sync_api", reason="the page: needs playwright")

PAGE = Path(mpvn.serving.__file__).parent / "page"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",  # it refuses to run as root otherwise
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
LIMIT = 20_000  # milliseconds that anything may take
JOINT = (64, 224, 255)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return Chromium."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"the page: needs a browser, one of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page of the server in the browser, and what it has received and done.

    Attributes:
        page: the page, by playwright.
        received: the messages of the server, in order.
        faults: what went wrong: errors on the console, requests to other hosts.
    """

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.address = address
        self.received: list[dict] = []
        self.faults: list[str] = []
        self.page = browser.new_page(**{"viewport": {"width": 800, "height": 600}, **options})
        self.page.set_default_timeout(LIMIT)
        self.page.on("console", lambda message: self._log(message.type, message.text))
        self.page.on("pageerror", lambda error: self._log("error", str(error)))
        self.page.on("request", lambda request: self._check(request.url))
        self.page.on("websocket", self._listen)

    def open(self, fragment: str = "") -> Tab:
        self.page.goto(f"{self.address}/{fragment}")
        return self

    @property
    def hello(self) -> dict:
        return next(each for each in self.received if each["type"] == "hello")

    @property
    def newest(self) -> dict:
        return next(each for each in reversed(self.received) if each["type"] == "answer")

    def choose(self, path: Path) -> None:
        """Choose a file to send."""
        self.page.wait_for_selector("#file-button:enabled")
        self.page.set_input_files("#file", path)

    def has(self, selector: str, text: str) -> None:
        """Wait until an element has a text in it."""
        self.page.wait_for_selector(f"{selector}:has-text({json.dumps(text)})")

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition holds; return what it returned."""
        for _ in range(LIMIT // 50):
            if found := condition():
                return found
            self.page.wait_for_timeout(50)
        raise TimeoutError(f"Received: {self.received[-5:]}")

    def answers(self, count: int, since: int | None = None) -> list[dict]:
        """Return the first `count` answers from now on, after the last of them is shown.

        Args:
            count: their number.
            since: the number of messages before them, instead of from now on.
        """
        first = len(self.received) if since is None else since

        def new() -> list[dict]:
            return [each for each in self.received[first:] if each["type"] == "answer"]

        self.wait(lambda: len(new()) >= count)
        self.page.evaluate("new Promise((done) => requestAnimationFrame(done))")
        return new()[:count]

    def picture(self) -> np.ndarray:
        """Return what the canvas shows, uint8 `[H, W, 3]`."""
        shot = self.page.locator("#picture").screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))

    def close(self) -> None:
        """Close it, and check that nothing went wrong."""
        self.page.context.close()
        assert self.faults == []

    def _log(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.faults.append(text)

    def _check(self, url: str) -> None:
        if urlsplit(url).netloc not in {urlsplit(self.address).netloc, ""}:  # "": blob:
            self.faults.append(f"request to {url}")

    def _listen(self, socket: Any) -> None:
        self._check(socket.url)
        socket.on("framereceived", lambda data: self.received.append(json.loads(data)))


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """Return a server of `classes_model`."""
    with Served() as server:
        yield server


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    """Return the same with a token, for one stream."""
    with Served(access=Access("secret"), streams=1) as server:
        yield server


@pytest.fixture(scope="module")
def joints() -> Iterator[Served]:
    """Return a server of a network that finds the reddest pixel, two steps late."""
    frame = x = keras.Input((18, 24, 3), name="frame")
    for index, count in enumerate((3, 3, 1)):
        x = keras.layers.Conv2D(count, 1, use_bias=False, name=f"c{index}")(x)
    model = keras.Model(frame, x, name="reddest")
    model.set_weights([_kernel(np.eye(3)), _kernel(np.eye(3)), _kernel([[20], [-20], [-20]])])
    names = {"joints": ["disk"]}
    known = mpvn.Metadata(
        task="keypoints", names=names, fps=25, latency=None, size=(18, 24), pixels="0..1"
    )
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, 3), metadata=known)
    with Served(network.compile_inference(units="block"), model=open_model(network)) as server:
        yield server


@pytest.fixture
def tab(browser: Any, server: Served) -> Iterator[Callable[..., Tab]]:
    """Return a function that opens a tab. In the end, checks that nothing went wrong in it."""
    tabs: list[Tab] = []

    def open_tab(other: Served | None = None, **options: Any) -> Tab:
        tabs.append(Tab(browser, (other or server).url, **options))
        return tabs[-1]

    yield open_tab
    for each in tabs:
        each.close()


@pytest.fixture(scope="module")
def camera(browser: Any, server: Served) -> Iterator[Tab]:
    """Return a tab that sends the pictures of the camera."""
    one = Tab(browser, server.url).open()
    one.page.click("#toggle:enabled")
    yield one
    one.close()


def test_answers_are_over_the_picture_of_the_camera(camera: Tab) -> None:
    one = camera
    one.answers(4)
    assert one.page.locator("#classes li").count() == 5
    scores = one.newest["answer"]["classes"]
    assert {name for name, _ in scores} < {*NAMES}
    assert one.page.get_attribute("#picture", "data-answer").startswith(scores[0][0])
    red, green, _ = one.picture().mean(axis=(0, 1))
    assert green > 2 * red  # the fake camera is green
    steps = [each["step"] for each in one.answers(4)]
    assert steps == [*range(steps[0], steps[0] + 4)]
    one.wait(lambda: int(one.page.inner_text("#step")) >= steps[-1])
    for figure in ("latency", "wait", "compute"):
        one.has(f"#{figure}", " ms")


def test_the_timeline_has_all_subnetworks_and_shows_idle_clocks(camera: Tab) -> None:
    one = camera
    one.wait(lambda: one.newest["step"] >= 8)
    lanes = [each["name"] for each in one.hello["subnetworks"]]
    assert one.page.locator("#timeline .lane").count() == len(lanes) == 3
    shown = one.page.evaluate(
        """() => ["bar", "idle"].map((kind) => [0, 1, 2].map((lane) =>
            document.querySelectorAll(`#timeline .${kind}[data-lane="${lane}"]`).length))"""
    )
    bars, idle = shown
    assert min(bars) > 0
    assert idle[0] == 0 < idle[1] < idle[2]  # the clocks are 1, 2, 4
    titles = one.page.locator("#timeline .bar title").all_text_contents()
    assert any("subnetwork 2" in each and "frame" in each for each in titles)


def test_a_reset_restarts_the_stream(camera: Tab) -> None:
    one = camera
    one.answers(1)
    before = len(one.received)
    one.page.click("#reset:enabled")
    one.has("#status", "starts anew")
    steps = [each["step"] for each in one.answers(8, before)]
    restart = steps.index(0)
    assert steps[restart:] == [*range(8 - restart)]


def test_joints_are_drawn_on_the_frame_that_they_are_about(
    tab: Callable[..., Tab], joints: Served, tmp_path: Path
) -> None:
    """A red disk moves. Answers come two steps late, and the sides of the picture are cut off."""
    frames = [_disk(x=30 + 3 * index, y=30) for index in range(24)]
    video = video_files.encode(tmp_path / "disk.webm", frames, codec="libvpx")
    one = tab(joints).open()
    one.choose(video)
    one.has("#status", "The video has ended.")  # the last picture stays
    picture = one.picture().astype(int)
    disk = (picture[..., 0] > 150) & (picture[..., 2] < 100)
    joint = (abs(picture - JOINT) < 40).all(axis=-1)
    places = [np.argwhere(each).mean(axis=0) for each in (disk, joint)]
    pixel = picture.shape[1] / frames[0].shape[1]
    assert np.abs(places[0] - places[1]).max() < 3 * pixel  # the disk moves by 6 in two steps


def test_a_video_ends_and_plays_again(tab: Callable[..., Tab], tmp_path: Path) -> None:
    frames = [_disk(x=40 + index, y=30) for index in range(20)]
    video = video_files.encode(tmp_path / "disk.webm", frames, codec="libvpx")
    one = tab().open()
    one.choose(video)
    one.has("#status", "The video has ended.")
    before = len(one.received)
    one.page.click("#again")
    assert 0 in [each["step"] for each in one.answers(6, before)]


def test_an_image_is_shown_again_and_again_and_others_are_refused(
    tab: Callable[..., Tab], tmp_path: Path
) -> None:
    Image.fromarray(_disk(50, 30)).save(tmp_path / "disk.png")
    (tmp_path / "text.mp4").write_text("no video")
    one = tab().open()
    one.choose(tmp_path / "text.mp4")
    one.has("#status", "text.mp4: this browser cannot play it")
    one.choose(tmp_path / "disk.png")
    one.answers(3)


def test_a_wrong_token_is_said_and_the_right_one_connects(
    tab: Callable[..., Tab], guarded: Served
) -> None:
    one = tab(guarded).open("#token=wrong")
    one.has("#status", "token")
    one.page.fill("#token", "secret")
    one.page.click("text=Connect")
    one.has("#status", "Connected to")
    assert "secret" not in one.page.url.split("#")[0]


def test_a_full_server_is_said(tab: Callable[..., Tab], guarded: Served, tmp_path: Path) -> None:
    guarded.service.engine.submit(99, np.zeros((8, 10, 3), "float32")).result()
    Image.fromarray(_disk(50, 30)).save(tmp_path / "disk.png")
    one = tab(guarded).open("#token=secret")
    one.choose(tmp_path / "disk.png")
    one.has("#status", "The server is full")
    guarded.service.engine.reset(99)
    one.answers(1)


def test_a_lost_connection_is_said_and_comes_back(tab: Callable[..., Tab]) -> None:
    one = tab()
    sockets: list[Any] = []
    one.page.route_web_socket("**", lambda socket: sockets.append(_forward(socket)))
    one.open()
    one.page.click("#toggle:enabled")
    one.answers(2)
    before = len(one.received)
    sockets[-1].close()
    one.has("#status", "Connection lost")
    one.has("#status", "Connected again")
    assert 0 in [each["step"] for each in one.answers(4, before)]


def test_a_phone_is_wide_enough(tab: Callable[..., Tab]) -> None:
    one = tab(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True).open()
    one.page.tap("#toggle:enabled")
    one.answers(4)
    assert one.page.evaluate("document.documentElement.scrollWidth") == 360
    small = one.page.evaluate(
        "() => [...document.querySelectorAll('.controls button')]"
        ".filter((each) => each.offsetHeight && each.offsetHeight < 44).length"
    )
    assert small == 0


def test_why_there_is_no_camera_is_said(tab: Callable[..., Tab]) -> None:
    one = tab()
    one.page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    one.open()
    one.page.click("#toggle:enabled")
    one.has("#status", "HTTPS")
    refused = tab()
    refused.page.add_init_script(
        "navigator.mediaDevices.getUserMedia ="
        " async () => { throw new DOMException('', 'NotAllowedError'); }"
    )
    refused.open().page.click("#toggle:enabled")
    refused.has("#status", "The camera was refused")


def test_the_page_knows_the_part_that_the_server_cuts_out(camera: Tab) -> None:
    sizes = [(height, width) for height in (48, 97, 480) for width in (64, 131, 1280)]
    for side in (None, 40):
        hello = {"size": [24, 32], "shorter_side": side}
        parts = camera.page.evaluate(
            "async ([sizes, hello]) => { const { partOf } = await import('./sender.js');"
            " return sizes.map(([height, width]) => partOf(width, height, hello)); }",
            [sizes, hello],
        )
        for size, part in zip(sizes, parts, strict=True):
            expected = Cropped((24, 32), shorter_side=side).place(*size)
            found = [part[name] for name in ("top", "left", "height", "width")]
            np.testing.assert_allclose(found, expected[:4], atol=1)


def test_the_colors_are_those_of_the_figures() -> None:
    script = (PAGE / "timeline.js").read_text()
    colors = [category(index)[0] for index in range(COLORS)]
    assert f"[{', '.join(map(json.dumps, colors))}]" in script


def _kernel(weights: Any) -> np.ndarray:
    """Return the weights of a 1x1 convolution, given `[in, out]`."""
    return np.asarray(weights, "float32")[None, None]


def _disk(x: float, y: float) -> np.ndarray:
    """Return a gray picture, uint8 `[72, 128, 3]`, with a red disk."""
    rows, columns = np.mgrid[:72, :128]
    inside = (rows - y) ** 2 + (columns - x) ** 2 < 36
    return np.where(inside[..., None], (230, 30, 30), (120, 120, 120)).astype(np.uint8)


def _forward(socket: Any) -> Any:
    socket.connect_to_server()
    return socket
