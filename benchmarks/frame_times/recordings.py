"""The recordings that readers are compared on, and how the ffmpeg program makes them."""

import dataclasses
import io
import pathlib
import shlex
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from schedule import Schedule, picture

SIZE = (96, 160)
FRAMES = 48
X264 = "-c:v libx264 -preset veryfast -g 12 -threads 1"
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=none:keyint=12"
VP8 = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -g 12"
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -g 12"
ALT_REF = "-deadline good -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 16"
AV1 = "-c:v libsvtav1 -preset 12 -g 12"
MPEG = "-q:v 3 -g 12"
REMARKS = {
    "h264_ntsc.264": "it adds rounded microseconds",
    "hevc.hevc": "it adds rounded microseconds",
    "mpeg1.m1v": "it shows the first frame twice as long",
    "h264_coarse.mov": "it is given half a tick, but both times of a wait are rounded",
    "joined_50_fps.mpg": "it continues the times of decoding, where frames are 40 ms apart",
    "middle_cut_out_b.mp4": "FFmpeg's library counts the delay of B-frames twice",
    "joined.flv": "it lets the clock go back",
    "joined.ogv": "it stops before the second recording",
}
"""Why the ffmpeg program shows something else than the truth, by name of the file."""

LIMITS = {"middle_cut_out_b.mp4"}
"""Files whose times mpvn cannot know: the library that both read with gives wrong ones."""

NTSC_FILM, NTSC, NTSC_60 = "24000/1001", "30000/1001", "60000/1001"


@dataclasses.dataclass(frozen=True)
class Recording:
    """A file whose frames and times are known.

    Attributes:
        name: Name of the file.
        shown: What a reader should show.
        make: Writes the file to a path.
    """

    name: str
    shown: Schedule
    make: Callable[[pathlib.Path], None]

    @property
    def remark(self) -> str:
        """Why the ffmpeg program shows something else; empty if it does not."""
        return REMARKS.get(self.name, "")


def run_program(*arguments: str | pathlib.Path, data: bytes = b"") -> bytes:
    """Run the ffmpeg program.

    Args:
        arguments: Options, several in one string; and paths.
        data: Its standard input.

    Returns:
        Its standard output.
    """
    words = [
        word
        for argument in arguments
        for word in (argument.split() if isinstance(argument, str) else [str(argument)])
    ]
    command = ["ffmpeg", "-v", "error", "-y", *words]
    run = subprocess.run(command, input=data, capture_output=True)
    if run.returncode:
        raise RuntimeError(f"{shlex.join(command)}\n{run.stderr.decode()}")
    return run.stdout


# --- encoding -----------------------------------------------------------------------------------


def encode(path: pathlib.Path, shown: Schedule, options: str, size: tuple[int, int] = SIZE) -> None:
    """Encode a schedule with options of the ffmpeg program."""
    if shown.rate is not None:
        height, width = size
        data = b"".join(picture(number, size).tobytes() for number in shown.numbers)
        source = f"-f rawvideo -pix_fmt gray -video_size {width}x{height} -framerate {shown.rate}"
    else:
        data = uneven(shown, size)
        source, options = "-f nut", f"-fps_mode passthrough -enc_time_base 1:90000 {options}"
    if "-pix_fmt" not in options:
        options = f"-pix_fmt yuv420p {options}"
    run_program(f"{source} -i pipe: {options}", path, data=data)


def uneven(shown: Schedule, size: tuple[int, int]) -> bytes:
    """Return raw pictures in a NUT file, which holds times of any spacing, in 1/90000 s."""
    file = io.BytesIO()
    with av.open(file, "w", format="nut") as container:
        stream = container.add_stream("rawvideo", rate=30)
        stream.height, stream.width = size
        stream.pix_fmt = "gray"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90000)
        for number, time in zip(shown.numbers, shown.times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="gray")
            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def even(
    name: str, rate: str, options: str, frames: int = FRAMES, size: tuple[int, int] = SIZE
) -> Recording:
    """Return a recording of evenly spaced frames."""
    shown = Schedule.even(Fraction(rate), range(frames))
    return Recording(name, shown, lambda path: encode(path, shown, options, size))


# --- evenly spaced frames: containers x codecs x rates ------------------------------------------

EVEN = [
    # MP4 and QuickTime
    ("h264_b2.mp4", NTSC_FILM, f"{X264} -bf 2"),
    ("h264_pyramid.mp4", "25", f"{X264} -bf 3 -b-pyramid normal"),
    ("h264_b0.mp4", NTSC, f"{X264} -bf 0"),
    ("h264_120.mp4", "120", f"{X264} -bf 2"),
    ("h264_open_gop.mp4", "30", f"{X264} -bf 2 -x264-params open-gop=1"),
    ("h264_fragments.mp4", "25", f"{X264} -bf 2 -movflags frag_keyframe+empty_moov"),
    ("h264_dash.mp4", NTSC, f"{X264} -bf 2 -movflags dash+delay_moov -frag_duration 400000"),
    ("h264_negative_cts.mp4", "30", f"{X264} -bf 2 -movflags negative_cts_offsets"),
    ("h264_no_edits.mp4", "30", f"{X264} -bf 2 -use_editlist 0"),
    ("hevc.mp4", "60", f"{X265} -tag:v hvc1"),
    ("hevc_open_gop.mp4", "25", f"{X265}:open-gop=1:bframes=4"),
    ("mpeg4.mp4", "50", f"-c:v mpeg4 {MPEG} -bf 2"),
    ("mpeg2.mp4", "25", f"-c:v mpeg2video {MPEG} -bf 2"),
    ("vp9.mp4", "25", f"{VP9} {ALT_REF}"),
    ("av1.mp4", "30", AV1),
    ("av1_hidden.mp4", NTSC, "-c:v libaom-av1 -cpu-used 8 -b:v 1M -g 12 -lag-in-frames 19"),
    ("h264_decimal.mp4", "23.976", f"{X264} -bf 2"),
    ("h264_many_b.mp4", "59.94", f"{X264} -bf 8 -b_strategy 0 -b-pyramid normal"),
    ("h264_refresh.mp4", "25", f"{X264} -bf 0 -x264-params intra-refresh=1"),
    ("h264_coarse.mp4", NTSC, f"{X264} -bf 2 -video_track_timescale 1000"),
    ("h264_coarse.mov", NTSC_FILM, f"{X264} -bf 2 -video_track_timescale 600"),
    ("h264_very_coarse.mov", "24", f"{X264} -bf 0 -video_track_timescale 100"),
    ("h264_1000.mp4", "1000", f"{X264} -bf 2"),
    ("h264.m4v", "15", f"{X264} -bf 2 -f mp4"),
    ("h264.f4v", "25", f"{X264} -bf 2"),
    ("h264.ismv", "25", f"{X264} -bf 2"),
    ("h264_b2.mov", "47/2", f"{X264} -bf 2"),
    ("prores.mov", NTSC_FILM, "-c:v prores_ks -pix_fmt yuv422p10le"),
    ("mjpeg.mov", "15", "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p"),
    ("qtrle.mov", "12", "-c:v qtrle -pix_fmt rgb24"),
    ("png.mov", "17", "-c:v png -pix_fmt rgb24"),
    ("dnxhr.mov", NTSC_60, "-c:v dnxhd -profile:v dnxhr_lb -pix_fmt yuv422p", 256, 288),
    ("h263.3gp", "15", f"-c:v h263 {MPEG}", 144, 176),
    ("mpeg4.3gp", "12", f"-c:v mpeg4 {MPEG}"),
    ("h264.3g2", "30", f"{X264} -bf 2"),
    # Matroska and WebM
    ("h264_24.mkv", NTSC_FILM, f"{X264} -bf 2"),
    ("h264_30.mkv", "30", f"{X264} -bf 2"),
    ("h264_ntsc.mkv", NTSC, f"{X264} -bf 3 -b-pyramid normal"),
    ("h264_60.mkv", "60", f"{X264} -bf 0"),
    ("h264_600.mkv", "600", f"{X264} -bf 2"),
    ("hevc_120.mkv", "120", X265),
    ("mpeg2.mkv", "25", f"-c:v mpeg2video {MPEG} -bf 2"),
    ("mpeg4.mkv", "12", f"-c:v mpeg4 {MPEG} -bf 2"),
    ("vp8.mkv", "15", VP8),
    ("av1.mkv", "50", AV1),
    ("theora.mkv", "25", "-c:v libtheora -q:v 7 -g 12"),
    ("ffv1_17.mkv", "17", "-c:v ffv1"),
    ("ffv1_23_5.mkv", "47/2", "-c:v ffv1 -g 1"),
    ("av1_hidden.mkv", NTSC, "-c:v libaom-av1 -cpu-used 8 -b:v 1M -g 12 -lag-in-frames 19"),
    ("h264_decimal.mkv", "29.97", f"{X264} -bf 2"),
    ("h264_refresh.mkv", "25", f"{X264} -bf 0 -x264-params intra-refresh=1"),
    ("h264_open_gop.mkv", "25", f"{X264} -bf 2 -x264-params open-gop=1"),
    ("prores.mkv", NTSC_60, "-c:v prores -pix_fmt yuv422p10le"),
    ("raw.mkv", "30", "-c:v rawvideo"),
    ("vp8.webm", "30", VP8),
    ("vp8_alt_ref.webm", "25", f"{VP8} {ALT_REF}"),
    ("vp9.webm", NTSC_FILM, VP9),
    ("vp9_alt_ref.webm", "60", f"{VP9} {ALT_REF}"),
    ("av1.webm", NTSC, AV1),
    # AVI
    ("mpeg4_b2.avi", "25", f"-c:v mpeg4 {MPEG} -bf 2"),
    ("mpeg4_b0.avi", NTSC_FILM, f"-c:v mpeg4 {MPEG} -bf 0"),
    ("xvid.avi", "30", "-c:v libxvid -q:v 3 -g 12 -bf 0"),
    ("h264_b2.avi", "25", f"{X264} -bf 2"),
    ("h264_pyramid.avi", NTSC, f"{X264} -bf 3 -b-pyramid normal"),
    ("mpeg4_decimal.avi", "29.97", f"-c:v mpeg4 {MPEG} -bf 2"),
    ("mjpeg.avi", NTSC, "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p"),
    ("msmpeg4.avi", "24", f"-c:v msmpeg4 {MPEG}"),
    ("huffyuv.avi", "17", "-c:v huffyuv -pix_fmt yuv422p"),
    ("raw.avi", "12", "-c:v rawvideo -pix_fmt bgr24"),
    # broadcasts, discs and cameras
    ("h264_b2.ts", "25", f"{X264} -bf 2"),
    ("h264_ntsc.ts", NTSC, f"{X264} -bf 3 -b-pyramid normal"),
    ("hevc.ts", "50", X265),
    ("h264_many_b.ts", "60", f"{X264} -bf 8 -b_strategy 0 -b-pyramid normal"),
    ("h264_refresh.ts", "30", f"{X264} -bf 0 -x264-params intra-refresh=1"),
    ("mpeg2.ts", "25", f"-c:v mpeg2video {MPEG} -bf 2"),
    ("mpeg2_interlaced.ts", "25", f"-c:v mpeg2video {MPEG} -bf 2 -flags +ildct+ilme"),
    ("mpeg4.ts", "30", f"-c:v mpeg4 {MPEG}"),
    ("h264.m2ts", NTSC_FILM, f"{X264} -bf 2"),
    ("h264.mts", "60", f"{X264} -bf 2 -f mpegts -mpegts_m2ts_mode 1"),
    ("mpeg1.mpg", "25", f"-c:v mpeg1video {MPEG} -bf 2"),
    ("mpeg2.vob", NTSC, f"-c:v mpeg2video {MPEG} -bf 2"),
    ("mpeg2.mxf", "25", f"-c:v mpeg2video {MPEG} -bf 2"),
    ("h264.mxf", "50", f"{X264} -bf 0 -pix_fmt yuv422p10le"),
    ("mpeg2.wtv", "25", f"-c:v mpeg2video {MPEG} -bf 2"),
    ("dv.dv", "25", "-c:v dvvideo -pix_fmt yuv420p", 576, 720),
    # others
    ("flv1.flv", "30", f"-c:v flv {MPEG}"),
    ("h264.flv", NTSC_FILM, f"{X264} -bf 2"),
    ("theora.ogv", "25", "-c:v libtheora -q:v 7 -g 12"),
    ("theora_ntsc.ogv", NTSC, "-c:v libtheora -q:v 7 -g 12"),
    ("vp8.ogv", "30", VP8),
    ("wmv2.wmv", "25", f"-c:v wmv2 {MPEG}"),
    ("wmv1.wmv", NTSC, f"-c:v wmv1 {MPEG}"),
    ("h264.asf", "30", f"{X264} -bf 0"),
    ("ffv1.nut", "47/2", "-c:v ffv1"),
    ("h264.nut", "30", f"{X264} -bf 2"),
    ("rv20.rm", "25", "-c:v rv20 -q:v 3 -g 12"),
    ("swf.swf", "25", f"-c:v flv {MPEG}"),
    ("gif_10.gif", "10", "-pix_fmt gray"),
    ("gif_17.gif", "17", "-pix_fmt gray"),
    ("gif_50.gif", "50", "-pix_fmt gray"),
    ("png.apng", "25", "-pix_fmt gray -f apng"),
    ("mpeg.mjpeg", "25", "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p"),
    ("raw.y4m", NTSC, "-f yuv4mpegpipe"),
    ("vp8.ivf", "30", VP8),
    ("vp9.ivf", NTSC_FILM, f"{VP9} {ALT_REF}"),
    ("av1.ivf", "60", AV1),
    ("h264.h264", "25", f"{X264} -bf 2"),
    ("h264_ntsc.264", NTSC, f"{X264} -bf 3 -b-pyramid normal"),
    ("hevc.hevc", "30", X265),
    ("mpeg4.m4v", "25", f"-c:v mpeg4 {MPEG} -bf 2 -f m4v"),
    ("mpeg2.m2v", "25", f"-c:v mpeg2video {MPEG} -bf 2"),
    ("mpeg1.m1v", NTSC, f"-c:v mpeg1video {MPEG} -bf 2"),
    ("av1.obu", "25", AV1),
]
"""Name, rate and options of the recordings of `FRAMES` frames; height and width if not `SIZE`."""

COUNTED = [
    ("one_frame.mp4", "25", f"{X264} -bf 2", 1),
    ("one_frame.mkv", "25", f"{X264} -bf 2", 1),
    ("one_frame.webm", "25", VP8, 1),
    ("one_frame.avi", "25", f"-c:v mpeg4 {MPEG}", 1),
    ("one_frame.ts", "25", f"{X264} -bf 2", 1),
    ("one_frame.h264", "25", X264, 1),
    ("long.mkv", NTSC, X264, 1000),
    ("long.webm", NTSC_60, VP8, 1000),
    ("long.flv", NTSC_FILM, X264, 1000),
    ("long.wmv", NTSC_60, f"-c:v wmv2 {MPEG}", 1000),
    ("long.m2ts", NTSC_FILM, X264, 1000),
    ("time_lapse.mkv", "1/90", f"{X264} -bf 2", 3),
    ("slow.mp4", "1/2", f"{X264} -bf 2", 8),
    ("slow.mkv", "7/3", f"{X264} -bf 2", 12),
    ("two_frames.mp4", "25", f"{X264} -bf 2", 2),
    ("two_frames.mkv", "30", f"{X264} -bf 2", 2),
]
"""Name, rate, options and number of frames of the other recordings."""


def even_recordings() -> Iterator[Recording]:
    """Yield recordings of evenly spaced frames in many containers, codecs and rates."""
    for name, rate, options, *size in EVEN:
        yield even(name, rate, options, size=tuple(size) or SIZE)
    for row in COUNTED:
        yield even(*row)
