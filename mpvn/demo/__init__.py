"""The demo: train a network, make it parallel, train it to be late, and stream a video.

A sequential Par-DenseNet learns to find joints in rendered figures. It is the teacher of two
networks of parallel subnetworks with clocks, which start from its weights: one predicts the joints
of the frame that it has just received, the other those of the frame two steps before. Then all
networks stream a video that none of them has seen.

Finished runs are not trained again.
"""

import os
import pathlib
import time

from mpvn.demo.networks import train_networks
from mpvn.demo.report import table, write_demo_report, write_demo_video
from mpvn.demo.streaming import compare_with_clip, load_clip, stream_in_turns
from mpvn.report.table import text_table


def run_demo(
    output: str | os.PathLike = "demo",
    video: str | os.PathLike | None = None,
    subnetworks: int = 4,
    frames: int = 96,
    steps: int = 160,
) -> pathlib.Path:
    """Train three networks, stream a video through them, write a report, and return its path.

    Args:
        output: Folder for the runs, the annotated video and the report; created if missing.
        video: A video file. None renders a video that is not in the training data.
        subnetworks: Number of parallel subnetworks of the second and third network, at least 2.
        frames: Number of frames to stream, at least 1.
        steps: Number of batches for the teacher, at least 2. Its students train for half as many.

    Raises:
        ValueError: If an argument is out of range, or the video cannot be read.
        Interrupted: After SIGINT or SIGTERM. Run the demo again to resume it.
    """
    started = time.perf_counter()
    if frames < 1 or subnetworks < 2 or steps < 2:
        raise ValueError(
            "The demo cannot run. Expected at least 1 frame, 2 subnetworks and 2 batches of "
            f"training. Received: frames={frames}, subnetworks={subnetworks}, steps={steps}"
        )
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    clip = load_clip(video, frames)
    networks = train_networks(folder, subnetworks, steps)
    stream_in_turns(networks, clip)
    difference = compare_with_clip(networks[-1], clip)
    write_demo_video(folder / "seen.mp4", networks, clip)
    rows = table(networks)
    print(f"\nThe networks run on {networks[-1].stream.runtime}.")
    print("\n" + text_table(rows))
    report = write_demo_report(folder / "report.html", networks, rows, clip, difference)
    print(f"\nwritten to {report} after {time.perf_counter() - started:.0f} s")
    return report
