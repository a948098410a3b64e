"""What a run is: one `ml_collections` tree, with a default for every key.

A file in `configs/` changes some of it, and `--config.key=value` on the command line the rest; a
key that is not here is refused, so that none can be misspelled in silence.
"""

import copy
import os
import runpy
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags


def base_config() -> ConfigDict:
    """The default of every key: a small Par-DenseNet that finds the joints of rendered figures."""
    return ConfigDict(
        {
            "seed": 0,
            "teacher": "",  # folder of a run whose network is followed
            "distillation": {
                "weight": 1.0,  # of the distance of activations (lambda); 0: none
                "layers": (),  # nodes that are compared; default: three, evenly spaced
                "whiten": True,  # whether distances are divided by the teacher's variances
            },
            "data": {
                "name": "rendered_figures",  # of mpvn.data.sets.SETS
                "path": "",  # where the set is on disk
                "train": {},  # further arguments of the reader, for training
                "evaluation": {},  # and for evaluation
                "on_error": "skip",  # or raise
                "in_memory": False,  # keep videos once they are read: for small sets
                "flow": {  # optical flow in the place of frames
                    "stack": 0,  # pairs of frames that are seen at once; 0: frames as they are
                    "method": "dis",  # or tvl1
                    "bound": 20.0,  # longest displacement, in pixels
                    "folder": "",  # where its pictures are kept, or lie; none: computed each time
                },
            },
            "clip": {
                "frames": 16,
                "sampling": "consecutive",  # or segments (a frame of each of equal parts), dense
                "stride": 1,  # of consecutive frames
                "fps": 0.0,  # rate to which videos are brought; 0: as they are
                "window": 64,  # of dense sampling: frames of the video that a clip stands for
                "short": "error",  # or loop, hold
                "montage": 1,  # how many clips, one after the other, become one
                "interleaved": False,  # whether their frames take turns instead
                "evaluated": 250,  # most frames of a video in evaluation, whole; 0: clips as above
            },
            "views": {  # what evaluation by views looks at, of each video
                "clips": 1,  # sampled as above, spread over the video
                "crops": 1,  # of each clip: 1, 3, 5 or 10
                "size": 0,  # height and width of the crops; 0: the whole frame
                "scale": 256,  # shorter side of the frames that crops are cut out of
            },
            "augmentation": {
                "crop": "random",
                "scale": (1.0, 1.0),
                "flip": True,
                "brightness": 0.0,
                "contrast": 0.0,
                "saturation": 0.0,
                "hue": 0.0,
            },
            "task": {
                "name": "keypoints",  # or action, autoencoding, future_frame
                "latency": 0,  # prediction latency in steps
                "mask_uninformed": False,
                "options": {},  # further arguments of the task
            },
            "model": {
                "name": "par_densenet",  # of mpvn.models.PUBLISHED, or of keras.applications
                "size": 64,  # height and width of the frames
                "weights": "",  # imagenet, or a file
                "pixels": "",  # that it takes: 0..255, 0..1 or -1..1; or as its weights were made
                "initial": "",  # folder of a run: training begins with its weights, where they fit
                "options": {},  # further arguments of the network
                "shortcuts": (),  # offsets of shortcuts over its units: (3,) for Skip-Sideways
                "merge": "project",  # of the shortcuts; or add
                "frozen": (),  # units, or layers, that keep the weights they begin with
            },
            "plan": {
                "subnetworks": 1,
                "partition": "",  # units for published networks, else equal
                "clocks": "",  # auto; or those of the model's temporal strides
                "phases": "",  # aligned or chain; or the plan's default
                "head": "",
            },
            "optimizer": {
                "name": "sgd",  # or adam
                "learning_rate": 0.1,
                "momentum": 0.9,  # of sgd
                "weight_decay": 0.0,
                "clip_norm": 0.0,  # 0: gradients are not clipped
                "schedule": "constant",  # or steps, cosine
                "boundaries": (),  # of steps: updates after which the rate falls
                "factor": 0.1,  # of steps: by how much
                "warm_up": 0,  # updates
            },
            "training": {
                "steps": 300,  # batches
                "batch_size": 8,
                "accumulate": 1,  # batches an update
                "checkpoint_every": 50,
                "evaluate_every": 100,
                "evaluate_first": 0,  # videos of each evaluation but the last; 0: all
                "trainer": "",  # bp, gpipe, sideways; or Keras's, by exact gradients along time
                "update_every": 0,  # of a trainer: steps between updates; 0: one update a clip
                "realtime": False,  # of bp: frames go by while one is there and back
                "executor": "auto",
                "rematerialize": False,
                "dtype_policy": "float32",  # or mixed_bfloat16, mixed_float16
                "batch_norm_momentum": 0.0,  # for short runs; 0: the layers' own
                "deterministic": False,  # bit-equal runs, slower
            },
        }
    )


def load_config(path: str | os.PathLike, overrides: Sequence[str] = ()) -> ConfigDict:
    """The tree that a config file makes, with some keys changed.

    Args:
        path: a Python file with a function `get_config()`.
        overrides: `"--config.key=value"`, as on the command line.

    Raises:
        ValueError: no such file, an unknown key, or a value of another type.
    """
    if not os.path.isfile(path):
        raise ValueError(
            f"there is no config {os.fspath(path)!r}: expected a Python file with get_config(), "
            "such as configs/rendered_keypoints.py"
        )
    config = runpy.run_path(os.fspath(path)).get("get_config", ConfigDict)()
    return override(config, overrides)


def override(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    """`config` with some keys changed; arguments and errors as `load_config`."""
    arguments = ["mpvn", *overrides]
    own = copy.deepcopy(config)
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", own, flag_values=values, sys_argv=arguments)
        rest = values(arguments)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as fault:
        said = " ".join(str(fault).replace("\\n", " ").replace("\\'", "").strip("'").split())
        raise ValueError(f"config: {said}") from fault
    if len(rest) > 1:
        raise ValueError(f"expected --config.key=value. Received: {' '.join(rest[1:])}")
    return values.config
