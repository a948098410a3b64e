"""The endings of files that are read as videos and images: the only list of them.

A file or folder that is given by its path is read whatever its ending is, because FFmpeg looks at
the content. Endings decide which files of a folder are videos, which are images, and which of the
others a user may miss.

The list of videos contains the endings that FFmpeg's demuxers and muxers state, those that cameras
and recorders use for the same formats, and no others:
- not audio (`.m4a`, `.mp3`, `.ogg`), playlists, or raw pixels (`.yuv`), whose size is unknown;
- not text, which FFmpeg draws as video (`.txt`, `.nfo`), or subtitles;
- not the previews of action cameras (`.lrv`, `.thm`), which repeat the video beside them.
"""

import os

_VIDEOS = """
    264 265 266 360 3g2 3gp 3gp2 3gpp amv apng asf avc avi bik cine dav dif divx dv dvr-ms evo f4v
    flc fli flv gif gxf h261 h263 h264 h265 h266 h26l hevc insv ismv ivf kux m1v m2p m2t m2ts m2v
    m4v mj2 mjpeg mjpg mk3d mkv mlv mod mov mp4 mp4v mpe mpeg mpeg1 mpeg2 mpeg4 mpg mpg2 mpg4 mpv
    mts mxf mxg nsv nut nuv obu ogm ogv ogx qt rm rmvb roq rv smk swf tod tp trp ts ty vc1 viv vob
    vro vvc webm wm wmv wtv xmv y4m
"""
_IMAGES = """
    avif bmp j2k jfif jp2 jpe jpeg jpg pam pbm pcx pgm png pnm ppm qoi sgi tga tif tiff webp
"""
_SIDE_FILES = """
    ass bib cfg csv db h5 hdf5 htm html ini json jsonl log mat md md5 npy npz pdf pickle pkl py rst
    sha256 srt ssa sub tex toml tsv txt url vtt xls xlsx xml yaml yml
"""


def _endings(text: str) -> frozenset[str]:
    return frozenset(f".{ending}" for ending in text.split())


VIDEO_SUFFIXES = _endings(_VIDEOS)
"""Endings of video files, in lower case. Compare them with `suffix`."""

IMAGE_SUFFIXES = _endings(_IMAGES)
"""Endings of images, in lower case."""

_SIDE_SUFFIXES = _endings(_SIDE_FILES)
"""Notes, annotations and subtitles beside videos, which are not mistaken for videos."""

_SYSTEM_NAMES = frozenset({"__macosx", "@eadir", "$recycle.bin", "lost+found", "thumbs.db"})
"""Files and folders that operating systems create, in lower case."""


def suffix(name: str) -> str:
    """Return the ending of a name, with its dot, in lower case."""
    return os.path.splitext(name)[1].lower()


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or was created by the system."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def is_image(name: str) -> bool:
    """Return whether a name is that of an image that is not hidden."""
    return suffix(name) in IMAGE_SUFFIXES and not is_hidden(name)


def is_video(name: str) -> bool:
    """Return whether a name is that of a video file that is not hidden."""
    return suffix(name) in VIDEO_SUFFIXES and not is_hidden(name)


def may_be_missed(name: str) -> bool:
    """Return whether a user may expect this file, which is not a video, to be read as one."""
    return not is_hidden(name) and suffix(name) not in _SIDE_SUFFIXES
