"""Pictures of the outputs of networks."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.data.skeletons import COCO_JOINTS
from mpvn.data.video.frames import View
from mpvn.data.video.framing import Cropped, Unchanged
from mpvn.tasks import ActionRecognition, Autoencoding, FutureFrame, Keypoints, Task
from mpvn.tasks.overlay import COCO_LIMBS, Share, annotate, captions

SIZE, FACTOR = 32, 7  # 7 * 32 = 224
GREY = np.full((SIZE, SIZE, 3), 128, np.uint8)


def example(task: Task, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return an output and a target of one step."""
    if isinstance(task, ActionRecognition):
        return rng.normal(size=task.classes), np.int32(1)
    if isinstance(task, Keypoints):
        joints = rng.uniform(0, SIZE, (2, task.joints, 3)).astype("float32")
        return rng.normal(size=(8, 8, task.joints)), joints
    return tuple(rng.uniform(-1.5, 1.5, (2, SIZE, SIZE, 3)))


TASKS = [
    ActionRecognition(5),
    ActionRecognition(2, names=("jump", "run")),
    Keypoints(17, (SIZE, SIZE)),
    Keypoints(3, (SIZE, SIZE)),
    Autoencoding(),
    FutureFrame(),
]


def test_optical_flow_is_drawn_in_colors() -> None:
    """With ten channels, as uint8 or float32, as frame, target and output."""
    flow = np.full((SIZE, SIZE, 10), 128, np.uint8)
    flow[:, :16, ::2] = 230  # to the right
    for frame in (flow, flow / np.float32(127.5) - 1):
        picture = ActionRecognition(5).picture(frame, np.zeros(5), np.int32(1))
        left, right = picture[8, 8].astype(int), picture[8, 200].astype(int)
        assert left[0] > 200 > 100 > left[1:].max()
        assert right.max() < 10
    target = flow / np.float32(127.5) - 1
    assert Autoencoding().picture(flow, 0 * target, target).shape[1:] == (FACTOR * SIZE, 3)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_pictures_of_a_task_have_one_size(task: Task, rng: np.random.Generator) -> None:
    """For floats and uint8, tensors and arrays, half precision, NaN and infinity."""
    output, target = example(task, rng)
    picture = task.picture(GREY, output, target)
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (SIZE * FACTOR, 3)
    tensors = (tf.constant(value) for value in (GREY / 127.5 - 1, output, target))
    np.testing.assert_array_equal(task.picture(*tensors), picture)
    half = task.picture(GREY, tf.cast(output, tf.bfloat16), target)
    assert half.shape == picture.shape
    assert task.picture(GREY, output).shape[1:] == picture.shape[1:]
    assert task.legend
    for value in (np.nan, np.inf, -np.inf):
        assert task.picture(GREY, np.full_like(output, value), target).shape == picture.shape


@pytest.mark.parametrize(("height", "width", "factor"), [(8, 16, 28), (225, 100, 3), (500, 300, 1)])
def test_frames_are_enlarged_by_whole_factors(height: int, width: int, factor: int) -> None:
    frame = np.zeros((height, width, 3), np.uint8)
    picture = ActionRecognition(2).picture(frame, np.zeros(2))
    assert picture.shape[1] == factor * width
    assert picture.shape[0] > factor * height


# --- keypoints ----------------------------------------------------------------------------------


def peak(x: int, y: int, height: float) -> np.ndarray:
    """Return logits `[16, 16]` of a map that is `height` at one pixel and about 0 elsewhere."""
    logits = np.full((16, 16), -20.0)
    logits[y, x] = np.log(height / (1 - height))
    return logits


def redness(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0].astype(int) - picture[..., 2]


def test_heat_has_an_absolute_scale() -> None:
    """A map with a maximum of 0.2 is less red than one with a maximum of 0.9."""
    task = Keypoints(1, (SIZE, SIZE))
    # Beside the dot, which hides the middle of the map pixel (14 pixels wide, at 112).
    faint, strong = (
        redness(task.picture(GREY, peak(8, 8, height)[..., None]))[118, 108:126].max()
        for height in (0.2, 0.9)
    )
    assert 0 < 3 * faint < strong
    no_heat = task.picture(GREY, np.full((16, 16, 1), -20.0))
    assert (redness(no_heat)[60:] == 0).all()


def test_heat_is_the_maximum_over_joints() -> None:
    logits = np.stack([peak(2, 3, 0.9), peak(12, 11, 0.9)], axis=-1)
    picture = redness(Keypoints(2, (SIZE, SIZE)).picture(GREY, logits))
    for x, y in ((2, 3), (12, 11)):
        assert picture[14 * y : 14 * (y + 1), 14 * x : 14 * (x + 1)].max() > 80
    assert picture[100:120, 100:120].max() == 0


def test_dots_are_predictions_and_rings_are_targets() -> None:
    task = Keypoints(2, (SIZE, SIZE))
    logits = np.stack([peak(4, 4, 0.99), peak(12, 4, 0.99)], axis=-1)
    joints = np.array([[[8.5, 24, 1], [24, 24, 0]]], "float32")  # the second is invisible
    plain = task.picture(GREY, logits)
    with_joints = task.picture(GREY, logits, joints)
    middle = round((4 + 0.5) * 14 - 0.5)
    red, _, blue = plain[middle, middle].astype(int)
    assert blue > red + 100
    rows, columns = np.nonzero((plain != with_joints).any(axis=-1))
    # The center of (8.5, 24) in the frame is (62.5, 171) in the picture.
    assert rows.mean() == pytest.approx(171, abs=0.6)
    assert columns.mean() == pytest.approx(62.5, abs=0.6)
    assert np.ptp(rows) < 16 and np.ptp(columns) < 16
    assert (with_joints[171, 62] == plain[171, 62]).all()  # hollow


def test_limbs_connect_the_joints_of_coco() -> None:
    """For each limb: its two joints are far apart, all others are in a corner."""
    for first, second in COCO_LIMBS:
        maps = [peak(0, 0, 0.99)] * 17
        maps[first], maps[second] = peak(3, 12, 0.99), peak(13, 12, 0.99)
        picture = Keypoints(17, (SIZE, SIZE)).picture(GREY, np.stack(maps, axis=-1)).astype(int)
        between = picture[round(12.5 * 14 - 0.5), 112]
        assert between[2] > between[0] + 100, (COCO_JOINTS[first], COCO_JOINTS[second])
    maps = [peak(3, 12, 0.99), peak(13, 12, 0.99)]
    picture = Keypoints(2, (SIZE, SIZE)).picture(GREY, np.stack(maps, axis=-1))
    assert (picture[round(12.5 * 14 - 0.5), 112] == 128).all()


def test_only_shoulders_and_hips_connect_left_and_right() -> None:
    names = [[COCO_JOINTS[joint].split("_") for joint in limb] for limb in COCO_LIMBS]
    across = [(a, b) for a, b in names if {a[0], b[0]} == {"left", "right"}]
    assert [(a[1], b[1]) for a, b in across] == [("shoulder",) * 2, ("hip",) * 2]
    assert {joint for limb in COCO_LIMBS for joint in limb} == set(range(17))


# --- actions ------------------------------------------------------------------------------------


def rows_of(logits: list[float], target: int | None, **options: object) -> list[str]:
    """Return the colors of the bars below the frame, at their left ends."""
    task = ActionRecognition(len(logits), **options)
    picture = task.picture(GREY, np.array(logits), target).astype(int)[SIZE * FACTOR + 2 :]
    height = SIZE * FACTOR // 10
    colors = [picture[number * height + 3, 1] for number in range(len(picture) // height)]
    return ["green" if g > r + 40 else "orange" if r > b + 40 else "gray" for r, g, b in colors]


def test_the_target_class_is_green_and_a_wrong_prediction_orange() -> None:
    logits = [2.0, 4.0, 3.0, 1.0, 0.5]  # the order of the rows is 1, 2, 0
    assert rows_of(logits, 1) == ["green", "gray", "gray"]
    assert rows_of(logits, 0) == ["orange", "gray", "green"]
    assert rows_of(logits, 4) == ["orange", "gray", "green"]  # in place of the third
    assert rows_of(logits, None) == ["gray", "gray", "gray"]
    assert rows_of(logits[:2], 1) == ["green", "gray"]


def test_lengths_of_bars_are_probabilities() -> None:
    picture = ActionRecognition(2).picture(GREY, np.log([0.75, 0.25])).astype(int)
    top = SIZE * FACTOR + 2 + 3
    lengths = [np.count_nonzero(picture[top + row * 22].sum(axis=-1) > 150) for row in (0, 1)]
    assert lengths == pytest.approx([0.75 * 224, 0.25 * 224], abs=2)


def test_names_are_drawn_and_long_names_are_cut() -> None:
    short, long = "run", "passing American football (not in game), for example"
    pictures = [
        ActionRecognition(2, names=names).picture(GREY, np.zeros(2))
        for names in ((), (short, "jump"), (long, "jump"), (long + "s", "jump"))
    ]
    assert (pictures[0] != pictures[1]).any()
    np.testing.assert_array_equal(pictures[2], pictures[3])
    with pytest.raises(ValueError, match="Expected 3 names, one per class. Received: 2"):
        ActionRecognition(3, names=("run", "jump"))


# --- pictures -----------------------------------------------------------------------------------


def test_frame_output_and_target_are_stacked() -> None:
    frame, output, target = (np.full((SIZE, SIZE, 3), v, "float32") for v in (-1, 0, 1))
    picture = FutureFrame().picture(frame, output, target)
    assert [picture[row, 5, 0] for row in (100, 340, 560)] == [0, 128, 255]
    assert Autoencoding().picture(frame, output).shape == (2 * 224 + 2, 224, 3)


# --- clips --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "steps", "expected"),
    [
        (Autoencoding(), 9, [0, 2, 4, 6, 8]),
        (Autoencoding(latency=3), 6, [3, 4, 5]),
        (FutureFrame(4, latency=1), 12, [1, 2, 4, 6, 8]),
    ],
    ids=["now", "late", "ahead"],
)
def test_pictures_of_a_clip_show_weighted_steps(
    task: Autoencoding, steps: int, expected: list[int], rng: np.random.Generator
) -> None:
    frames, outputs, targets = rng.uniform(-1, 1, (3, steps, 8, 8, 3))
    pictures = task.pictures(frames, outputs, targets)
    assert list(pictures) == expected
    for step, picture in pictures.items():
        expected = task.picture(frames[step], outputs[step], targets[step])
        np.testing.assert_array_equal(picture, expected)


def test_annotations_of_a_stream(rng: np.random.Generator) -> None:
    """Maps are scaled to their range, pictures are beside the frame, vectors are text."""
    maps = np.zeros((4, 4, 2), "float32")
    maps[1, 2, 1] = 1e-3
    annotated = annotate(
        whole(GREY), [maps, rng.uniform(-1, 1, GREY.shape), np.arange(5.0)], ["5 ms"]
    )
    assert annotated.shape == (448, 896, 3)
    assert redness(annotated)[168, 280] > 100
    assert (redness(annotated)[300:, :448] == 0).all()
    plain = annotate(whole(GREY), np.zeros(0), [])
    assert plain.shape == GREY.shape


def whole(frame: np.ndarray) -> View:
    """Return a frame that is its own original picture."""
    return View(0.0, frame, Unchanged().place(*frame.shape[:2]), lambda: frame)


def test_outputs_are_drawn_where_the_network_saw_them() -> None:
    """At the place of the crop in the original picture, which keeps its odd size."""
    picture = np.full((61, 97, 3), 128, np.uint8)
    part = Cropped((SIZE, SIZE), shorter_side=40).place(61, 97)
    assert part == (6, 24, 49, 49, (SIZE, SIZE))
    view = View(0.0, GREY, part, lambda: picture)
    heat = np.zeros((4, 4, 2))
    heat[3, 0] = 1
    red = redness(annotate(view, heat, [])) > 0
    rows, columns = np.nonzero(red)
    assert (columns.min(), rows.max()) == (24, 54)  # The lower left corner of the part.
    assert red[6:55, 24:73].sum() == red.sum()
    corner = np.array([[-0.5, -0.5, 0.7], [31.5, 31.5, 0.2]], np.float32)
    np.testing.assert_allclose(part.back(corner), [[23.5, 5.5, 0.7], [72.5, 54.5, 0.2]], rtol=1e-6)
    points = np.array([[30.0, 11.0, 1.0], [24.25, 54.0, 1.0]], np.float32)
    np.testing.assert_allclose(part.back(part.move(points)), points, rtol=1e-6)
    task = Keypoints(1, (SIZE, SIZE))
    drawn = task.over(view, peak(4, 12, 0.9)[..., None])  # At (8.5, 24.5) of 32 x 32.
    there = np.abs(drawn.astype(int) - picture).sum(axis=-1)
    x, y, _ = part.back(np.array([8.5, 24.5, 1], np.float32))
    assert drawn.shape == picture.shape and there[round(float(y)), round(float(x))] > 200


@pytest.mark.parametrize("size", [(20, 30), (61, 97), (480, 641)])
def test_captions_keep_the_size_and_the_upper_half(size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 200, np.uint8)
    drawn = captions(picture, [Share("walk" * 9, 0.9), Share("run", 0.1)] * 4)
    assert drawn.shape == picture.shape
    assert (drawn[: size[0] // 2] == 200).all()
    assert (drawn[-1, 0] != 200).any()
    assert (captions(picture, []) == picture).all()
