"""A process with callers, which writes what they have seen to a file.

python -m soak TARGET SEED ACTORS ABUSERS INTERVAL FILE

It prints a line when it is ready, and reads the time of the end from its input.
"""

import json
import pathlib
import pickle
import sys

from soak.actors import Pace
from soak.load import run_load
from soak.target import Target


def main() -> None:
    target, seed, actors, abusers, interval, path = sys.argv[1:]
    known = Target(**json.loads(target))
    pace = Pace(float(interval), pause=1.5 * known.idle)
    print("ready", flush=True)
    until = float(sys.stdin.readline())
    load = run_load(known, int(seed), int(actors), int(abusers), until, pace)
    pathlib.Path(path).write_bytes(pickle.dumps(load))


if __name__ == "__main__":
    main()
