"""Runs an example on several files of frames, in a process of its own.

    python example_process.py run_onnx.py FOLDER frames_0.npz outputs_0.npz frames_1.npz ...

The process must not need this package, Keras or TensorFlow.
"""

import pathlib
import runpy
import sys


def main(example: str, folder: str, *files: str) -> None:
    sys.path.insert(0, str(pathlib.Path(example).parent))  # as for a script
    for frames, outputs in zip(files[::2], files[1::2], strict=True):
        sys.argv = [example, folder, "--frames", frames, "--save", outputs]
        runpy.run_path(example, run_name="__main__")
    needed = {"mpvn", "keras_layers", "keras", "tensorflow"} & {*sys.modules}
    if needed:
        raise SystemExit(f"The example has imported {needed}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
