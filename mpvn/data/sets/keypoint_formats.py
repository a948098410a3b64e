"""The JSON formats of joints that `keypoint_videos` reads, recognized by their content.

| format | content | frames |
|---|---|---|
| COCO annotations | `images`, `annotations` and `categories` | `images` |
| COCO results, AlphaPose | a list of people with `image_id` and `keypoints` | `image_id` |
| OpenPose | `people` with `pose_keypoints_2d`; a file per frame | the name of the file |
| MMPose | `instance_info`, or a list of frames with `frame_id` and `instances` | `frame_id` |
| MMPose per image | people with `keypoint_scores`; a file per frame | the name of the file |

Each parser returns frames as the file names them. `keypoint_files` and `keypoint_video` find the
videos and the frames with these names after all files are read.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from mpvn.data.skeletons import COCO_JOINTS, HALPE_26_JOINTS, OPENPOSE_JOINTS
from mpvn.data.video_set import Joints

Size = tuple[int, int]


class FormatError(Exception):
    """A problem with the content of a file."""


class Frame(NamedTuple):
    """The people of one frame.

    Attributes:
        name: Name of the image, without folder, or the number as text.
        people: Joints float32 `[joints, 3]` of each person: x, y, and confidence.
        number: Number of the frame: as stated, or the last number in `name`; None if it has none.
        video: Path of the video as the file names it, or of the folder of the image; "" if the file
            names none.
        size: Height and width of the frame; None if unknown.
    """

    name: str
    people: list[Joints]
    number: int | None
    video: str = ""
    size: Size | None = None


class Content(NamedTuple):
    """The content of a file.

    Attributes:
        frames: The frames, in any order. A frame may occur several times, each with other people.
        names: Names of the joints; empty if the file has no people, or their joints are unknown.
        lists_all: Whether the file also lists frames without people.
        per_frame: Whether there is a file for each frame of a video.
        starts_at_0: Whether the format numbers frames from 0 on. Otherwise this is unknown.
    """

    frames: list[Frame]
    names: tuple[str, ...]
    lists_all: bool = True
    per_frame: bool = False
    starts_at_0: bool = False


def parse(content: Any, stem: str) -> Content:
    """Return what a file contains.

    Args:
        content: The JSON.
        stem: Name of the file, without its ending.

    Raises:
        FormatError: The format is unknown, or an entry differs from it.
    """
    for is_format, parser in _FORMATS.values():
        if is_format(content):
            return parser(content, stem)
    raise FormatError(
        f"expected joints as {', '.join(_FORMATS)}. Received: {_described(content)}, which is none "
        "of them. Move other JSON files to another folder, or set `annotations`"
    )


# --- COCO, AlphaPose ------------------------------------------------------------------------------


def _coco_annotations(content: Mapping[str, Any], stem: str) -> Content:
    categories = [each for each in _dicts(content, "categories") if each.get("keypoints")]
    if len(categories) != 1:
        raise FormatError(
            f"categories: expected one category with keypoints. Received: {len(categories)}"
        )
    names = tuple(str(name) for name in _list(categories[0], "keypoints", "categories"))
    category = categories[0].get("id")
    images = _images(content)
    for number, person in enumerate(_dicts(content, "annotations")):
        where = f"annotations[{number}]"
        if person.get("iscrowd") or person.get("category_id", category) != category:
            continue
        image = images.get(_field(person, "image_id", where))
        if image is None:
            raise FormatError(
                f"{where}: expected an image_id of `images`. Received: {person['image_id']!r}"
            )
        values = _list(person, "keypoints", where)
        if values:
            image.people.append(_triples(values, len(names), where))
    return Content(list(images.values()), names)


def _images(content: Mapping[str, Any]) -> dict[Any, Frame]:
    """Return the frames by `id`."""
    videos = {each.get("id"): each for each in _dicts(content, "videos", needed=False)}
    images: dict[Any, Frame] = {}
    for number, image in enumerate(_dicts(content, "images")):
        where = f"images[{number}]"
        path = PurePosixPath(str(image.get("file_name", "")).replace("\\", "/"))
        listed = videos.get(image.get("video_id"), {})
        video = image.get("video") or listed.get("name") or listed.get("file_name")
        numbers = (image.get(key) for key in ("frame_id", "frame_index", "frame"))
        stated = next((number for number in numbers if isinstance(number, int)), None)
        if not path.name and (video is None or stated is None):
            raise FormatError(
                f"{where}: expected file_name, or video and frame_id. Received: {_described(image)}"
            )
        number_of_frame = _number_in(path.name) if stated is None else stated
        folder = _folder(path) if video is None else str(video)
        name = path.name or str(stated)
        identifier = _field(image, "id", where)
        if identifier in images:
            raise FormatError(f"{where}: id {identifier!r} is a duplicate")
        images[identifier] = Frame(name, [], number_of_frame, folder, _size(image, where))
    return images


def _coco_results(content: Sequence[Mapping[str, Any]], stem: str) -> Content:
    frames = []
    for number, person in enumerate(content):
        where = f"[{number}]"
        identifier = _field(person, "image_id", where)
        path = PurePosixPath(str(identifier).replace("\\", "/"))
        people = [_triples(_list(person, "keypoints", where), None, where)]
        frames.append(Frame(path.name, people, _number_in(path.name), _folder(path)))
    # AlphaPose calls the frames of a video 0.jpg, 1.jpg and so on.
    unpadded = all(re.fullmatch(r"(0|[1-9]\d*)\.jpg", each.name) for each in frames)
    return Content(frames, _names(frames), lists_all=False, starts_at_0=unpadded)


# --- OpenPose -------------------------------------------------------------------------------------


def _openpose(content: Mapping[str, Any], stem: str) -> Content:
    people = []
    for number, person in enumerate(_dicts(content, "people")):
        where = f"people[{number}]"
        values = _list(person, "pose_keypoints_2d", where)
        if values:
            people.append(_triples(values, None, where))
    name = stem.removesuffix("_keypoints")
    # OpenPose calls the frames of a video VIDEO_000000000000 and so on.
    video, _, digits = name.rpartition("_")
    from_video = re.fullmatch(r"\d{12}", digits) is not None and video != ""
    frame = Frame(name, people, _number_in(name), video if from_video else "")
    names = _names([frame], OPENPOSE_JOINTS)
    return Content([frame], names, per_frame=True, starts_at_0=from_video)


# --- MMPose ---------------------------------------------------------------------------------------


def _mmpose_video(content: Any, stem: str) -> Content:
    is_list = isinstance(content, list)
    frames = []
    entries = content if is_list else _dicts(content, "instance_info")
    for number, entry in enumerate(entries):
        where = f"[{number}]" if is_list else f"instance_info[{number}]"
        frame = _field(entry, "frame_id", where)
        if not isinstance(frame, int):
            raise FormatError(f"{where}: frame_id: expected an integer. Received: {frame!r}")
        people = list(_instances(_list(entry, "instances", where), f"{where}: instances"))
        frames.append(Frame(str(frame), people, frame))
    meta = {} if is_list else content.get("meta_info")
    stated = meta.get("keypoint_id2name") if isinstance(meta, Mapping) else None
    names = _names(frames)
    if isinstance(stated, Mapping) and len(stated) == len(names):
        names = tuple(str(stated[key]) for key in sorted(stated, key=int))
    # The list of frames is written by MMPose's inferencer, which counts from 0. Its demo scripts
    # write `instance_info`; they count from 1.
    return Content(frames, names, starts_at_0=is_list)


def _mmpose_image(content: Sequence[Mapping[str, Any]], stem: str) -> Content:
    frame = Frame(stem, list(_instances(content, "")), _number_in(stem))
    return Content([frame], _names([frame]), per_frame=True)


def _instances(people: Sequence[Mapping[str, Any]], where: str) -> Iterator[Joints]:
    for number, person in enumerate(people):
        at = f"{where}[{number}]"
        places = _numbers(_list(person, "keypoints", at), f"{at}: keypoints")
        scores = _numbers(_list(person, "keypoint_scores", at), f"{at}: keypoint_scores")
        if places.shape != (len(scores), 2):
            raise FormatError(
                f"{at}: keypoints: expected [x, y] for each of {len(scores)} keypoint_scores. "
                f"Received: an array of shape {list(places.shape)}"
            )
        yield np.concatenate([places, scores[:, None]], axis=1)


# --- parts of formats -----------------------------------------------------------------------------


_USUAL_JOINTS = {len(names): names for names in (COCO_JOINTS, HALPE_26_JOINTS)}


def _names(
    frames: Sequence[Frame], known: Mapping[int, tuple[str, ...]] = _USUAL_JOINTS
) -> tuple[str, ...]:
    """Return the names of the joints, by their number; empty without people."""
    count = next((len(person) for frame in frames for person in frame.people), 0)
    return known.get(count, tuple(f"joint {number}" for number in range(count)))


def _triples(values: list[Any], count: int | None, where: str) -> Joints:
    """Return joints `[joints, 3]` of a flat list; `count` is the expected number of joints."""
    flat = _numbers(values, f"{where}: keypoints")
    expected = flat.size // 3 if count is None else count
    if flat.ndim != 1 or not expected or flat.size != 3 * expected:
        what = "x, y and confidence of each joint" if count is None else f"{3 * count} numbers"
        shown = f"{flat.size} numbers" if flat.ndim == 1 else f"an array of {list(flat.shape)}"
        raise FormatError(f"{where}: keypoints: expected {what}. Received: {shown}")
    return flat.reshape(-1, 3)  # [3 joints] -> [joints, 3]


def _numbers(values: list[Any], where: str) -> Joints:
    try:
        numbers = np.array(values, np.float32)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: expected numbers. Received: {values!r:.80}") from error
    if not np.isfinite(numbers).all():
        raise FormatError(f"{where}: expected finite numbers. Received: NaN, infinity or null")
    return numbers


def _size(image: Mapping[str, Any], where: str) -> Size | None:
    height, width = image.get("height"), image.get("width")
    if height is None and width is None:
        return None
    if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
        raise FormatError(
            f"{where}: height, width: expected numbers of pixels. Received: {height!r}, {width!r}"
        )
    return height, width


def _dicts(content: Mapping[str, Any], name: str, needed: bool = True) -> list[dict[str, Any]]:
    entries = content.get(name, None if needed else [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FormatError(f"{name}: expected a list of objects. Received: {entries!r:.80}")
    return entries


def _folder(path: PurePosixPath) -> str:
    return "" if path.parent == PurePosixPath() else str(path.parent)


def _number_in(name: str) -> int | None:
    """Return the last number in the name of an image."""
    digits = re.findall(r"\d+", PurePosixPath(name).stem)
    return int(digits[-1]) if digits else None


def _list(entry: Mapping[str, Any], name: str, where: str) -> list[Any]:
    values = _field(entry, name, where)
    if not isinstance(values, list):
        raise FormatError(f"{where}: {name}: expected a list. Received: {values!r:.80}")
    return values


def _field(entry: Mapping[str, Any], name: str, where: str) -> Any:
    if not isinstance(entry, Mapping) or name not in entry:
        raise FormatError(f"{where}: expected the field {name}. Received: {_described(entry)}")
    return entry[name]


def _described(content: Any) -> str:
    if isinstance(content, dict):
        return f"an object with {', '.join(map(str, list(content)[:8])) or 'no fields'}"
    if isinstance(content, list):
        return f"a list of {_described(content[0])}" if content else "an empty list"
    return f"a {type(content).__name__}"


def _has(*names: str) -> Callable[[Any], bool]:
    """Return a function that says whether an object has all these fields."""
    return lambda content: isinstance(content, dict) and set(names) <= content.keys()


def _lists(*names: str) -> Callable[[Any], bool]:
    """Return a function that says whether a list starts with an object with all these fields."""
    is_entry = _has(*names)
    return lambda content: isinstance(content, list) and content != [] and is_entry(content[0])


_Parser = Callable[[Any, str], Content]

_FORMATS: dict[str, tuple[Callable[[Any], bool], _Parser]] = {
    "COCO annotations": (_has("images", "annotations", "categories"), _coco_annotations),
    "COCO results": (_lists("image_id", "keypoints"), _coco_results),
    "OpenPose": (_has("people"), _openpose),
    "MMPose": (
        lambda content: _has("instance_info")(content) or _lists("frame_id", "instances")(content),
        _mmpose_video,
    ),
    "MMPose per image": (_lists("keypoints", "keypoint_scores"), _mmpose_image),
    "no people": (lambda content: content == [], lambda content, stem: Content([], (), False)),
}
