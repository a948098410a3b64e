"""Tiny data sets on disk, in the layouts of the real ones, for the files of configs/."""

import json
import pathlib
from collections.abc import Callable

from PIL import Image
from rendered_video import write_rendered_video

from mpvn.data.sets.registry import needs_path
from mpvn.data.skeletons import COCO_JOINTS


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def encode(path: pathlib.Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rendered_video(path, frames, size=(32, 48))


def pose_track(root: pathlib.Path) -> list[str]:
    """Write PoseTrack: one person with 17 joints, in fewer frames than a clip."""
    for split in ("train", "val"):
        images = [{"id": n, "file_name": f"images/{split}/a/{n:05d}.jpg"} for n in range(5)]
        for image in images:
            path = root / str(image["file_name"])
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (48, 32)).save(path)
        person = {"track_id": 0, "keypoints": 17 * [20, 10, 1]}
        content = {
            "images": images,
            "annotations": [{"image_id": n, **person} for n in range(5)],
            "categories": [{"keypoints": list(COCO_JOINTS)}],
        }
        write(root / "annotations" / split / "a.json", json.dumps(content))
    return [f"--config.data.path={root}"]


def mini_kinetics(root: pathlib.Path) -> list[str]:
    """Write Mini-Kinetics: two classes, each with one video that exists and one that does not."""
    for split in ("train", "val"):
        rows = ["label,youtube_id,time_start,time_end"]
        for name in ("swimming", "zumba"):
            rows += [f"{name},{name}_{n},0,10" for n in range(2)]
            encode(root / split / name / f"{name}_0_000000_000010.mp4", 70)
        write(root / f"{split}.csv", "\n".join(rows))
    names = write(root / "classes.txt", "zumba\nswimming\n")
    lists = [f"--config.data.{split}.class_list={names}" for split in ("train", "evaluation")]
    return [f"--config.data.path={root}", *lists]


def hmdb51(root: pathlib.Path) -> list[str]:
    """Write HMDB51: two classes with one short video for training and one for testing."""
    for name in ("jump", "run"):
        lines = []
        for number in (1, 2):
            encode(root / name / f"{name}_{number}.mp4", 20)
            (root / name / f"{name}_{number}.mp4").rename(root / name / f"{name}_{number}.avi")
            lines.append(f"{name}_{number}.avi {number}")
        write(root / "testTrainMulti_7030_splits" / f"{name}_test_split1.txt", "\n".join(lines))
    return [f"--config.data.path={root}"]


def kinetics(root: pathlib.Path, classes: int) -> list[str]:
    """Write Kinetics-400 or -600: all classes, two of them with a video."""
    for split in ("train", "val"):
        rows = ["label,youtube_id,time_start,time_end"]
        rows += [f"class {number:03d},video{number},0,10" for number in range(classes)]
        write(root / f"{split}.csv", "\n".join(rows))
        for number in (0, 7):
            name = f"video{number}_000000_000010.mp4"
            encode(root / split / f"class {number:03d}" / name, 20)
    return [f"--config.data.path={root}"]


def cater(root: pathlib.Path) -> list[str]:
    """Write CATER: one video for training and one for validation, as long as a clip."""
    for number, split in enumerate(("train", "val")):
        name = f"CATER_new_{number:06d}.avi"
        encode((root / "videos" / name).with_suffix(".mp4"), 64)
        (root / "videos" / name).with_suffix(".mp4").rename(root / "videos" / name)
        write(root / "lists" / "localize" / f"{split}.txt", f"{name} {number}")
    return [f"--config.data.path={root}"]


def ucf101(root: pathlib.Path) -> list[str]:
    """Write UCF101: two classes with one video for training and one for testing."""
    lists = root / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 Jump\n2 Run")
    for number, split in enumerate(("train", "test"), 1):
        names = [f"{name}/v_{name}_g0{number}_c01.avi" for name in ("Jump", "Run")]
        write(lists / f"{split}list01.txt", "\n".join(names))
        for name in names:
            path = root / "UCF-101" / name
            encode(path.with_suffix(".mp4"), 20)
            path.with_suffix(".mp4").rename(path)
    return [f"--config.data.path={root}"]


GESTURES = ("Swiping Left", "Swiping Right")


def folders_of_frames(root: pathlib.Path, prefix: str) -> list[str]:
    """Write Jester or Something-Something V1: two classes with videos shorter than a clip."""
    write(root / f"{prefix}-labels.csv", "\n".join(GESTURES))
    for number, split in enumerate(("train", "validation")):
        rows = [f"{2 * number + label};{name}" for label, name in enumerate(GESTURES)]
        write(root / f"{prefix}-{split}.csv", "\n".join(rows))
    for number in range(4):
        for frame in range(1, 8):  # flow of five pairs needs six
            path = root / f"20bn-{prefix}" / str(number) / f"{frame:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (48, 32)).save(path)
    return [f"--config.data.path={root}"]


def something_something_v2(root: pathlib.Path) -> list[str]:
    """Write Something-Something V2: two classes with one video for training and one for testing."""
    prefix = "something-something-v2"
    labels = {name: str(label) for label, name in enumerate(GESTURES)}
    write(root / f"{prefix}-labels.json", json.dumps(labels))
    for number, split in enumerate(("train", "validation")):
        videos = [{"id": f"{2 * number + n}", "template": name} for n, name in enumerate(GESTURES)]
        write(root / f"{prefix}-{split}.json", json.dumps(videos))
        for video in videos:
            path = root / f"20bn-{prefix}" / f"{video['id']}.webm"
            encode(path.with_suffix(".mp4"), 13)  # eight stacks of flow
            path.with_suffix(".mp4").rename(path)
    return [f"--config.data.path={root}"]


def class_folders(root: pathlib.Path) -> list[str]:
    """Write two class folders of three videos."""
    for name in ("jump", "run"):
        for number in range(3):
            encode(root / name / f"{number}.mp4", 10)
    return [f"--config.data.path={root}"]


FAKES: dict[str, Callable[[pathlib.Path], list[str]]] = {
    "hmdb51": hmdb51,
    "ucf101": ucf101,
    "cater": cater,
    "kinetics400": lambda root: kinetics(root, 400),
    "kinetics600": lambda root: kinetics(root, 600),
    "mini_kinetics": mini_kinetics,
    "posetrack": pose_track,
    "something_something_v1": lambda root: folders_of_frames(root, "something-something-v1"),
    "something_something_v2": something_something_v2,
    "jester": lambda root: folders_of_frames(root, "jester-v1"),
    "folder": class_folders,
}
"""Functions that write a data set, by its name in `SETS`."""


def write_data_set(name: str, root: pathlib.Path) -> list[str]:
    """Write a fake of the data set `name`; return the overrides that say where it is."""
    return FAKES[name](root) if needs_path(name) else []
