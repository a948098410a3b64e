"""Print the peak memory of one reader: `python peak.py READER CLIP VIDEO...`, run by `run.py`."""

import json
import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
from readers import READERS, Clip  # noqa: E402
from reporting import resident_peak  # noqa: E402


def main() -> None:
    name, clip, *paths = sys.argv[1:]
    read, clip = READERS[name], eval(clip)  # written by run.py
    tiny = Clip(clip.start, 1, 1, clip.size)
    for _ in read(paths[:1], tiny):
        pass
    start = resident_peak()
    for _ in range(3):
        for _ in read(paths, clip):
            pass
    print(json.dumps({"libraries, MiB": round(start), "peak, MiB": round(resident_peak())}))


if __name__ == "__main__":
    main()
