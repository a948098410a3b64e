"""The configuration of a run: one `ml_collections` tree with a default for every key.

A file in `configs/` changes some keys, and `--config.key=value` on the command line changes more
(see `mpvn.training.overrides`). Two rules hold everywhere:

-   `None` means "none": no teacher, no weights, no clipping. Only the keys that `optional` declares
    may be None.
-   The length of training is either `training.steps` (batches) or `training.epochs`; exactly one is
    set. `training.evaluate_every`, `optimizer.boundaries` and `optimizer.warm_up` are in the same
    unit. `training.checkpoint_every` is always in batches.
"""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference


def optional(kind: type, value: Any = None) -> FieldReference:
    """Return the default of a key that holds a `kind` or None."""
    return FieldReference(value, field_type=kind)


def base_config() -> ConfigDict:
    """Return the default of every key: a small Par-DenseNet that finds joints of rendered figures.

    Returns:
        An `ml_collections.ConfigDict`; change its keys, then pass it to `build` or `train`.
    """
    return ConfigDict(_defaults())


def _defaults() -> dict[str, Any]:
    return {
        "seed": 0,
        "teacher": optional(str),  # folder of the run whose network teaches this one
        "distillation": _distillation(),
        "data": _data(),
        "clip": _clip(),
        "views": _views(),
        "augmentation": _augmentation(),
        "task": _task(),
        "model": _model(),
        "plan": _plan(),
        "optimizer": _optimizer(),
        "training": _training(),
    }


def _distillation() -> dict[str, Any]:
    return {
        # The weight of the distance in the loss. Each form of the distance has its own scale.
        "weight": 1.0,
        "distance": "whitened",  # or sum (the paper's, whose lambda is the weight), or mean
        "layers": (),  # nodes to compare; default: three, evenly spaced
    }


def _data() -> dict[str, Any]:
    return {
        "name": "rendered_figures",  # a key of mpvn.data.SETS
        "path": optional(str),  # where the data set is on disk
        "train": {},  # options of the reader for the training split
        "evaluation": {},  # options of the reader for the evaluation split
        "on_error": "skip",  # what to do with unreadable videos: skip or raise
        "in_memory": False,  # keep training videos and evaluation clips in memory, decoded
        "flow": {  # optical flow instead of RGB frames
            "stack": optional(int),  # pairs of frames stacked as channels; None: RGB frames
            "method": "dis",  # or tvl1
            "bound": 20.0,  # longest displacement in pixels; longer ones are clipped
            "folder": optional(str),  # cache of flow images; None: compute flow each time
        },
    }


def _clip() -> dict[str, Any]:
    return {
        "frames": 16,  # frames of a training clip
        "sampling": "consecutive",  # or segments (one frame of each of equal parts), or dense
        "stride": 1,  # distance between consecutive frames
        "fps": optional(float),  # resample videos to this frame rate; None: keep theirs
        "window": 64,  # dense sampling: number of video frames that a clip covers
        "short": "error",  # videos that are too short: error, loop or hold
        "montage": 1,  # number of clips joined into one
        "interleaved": False,  # montage: alternate the frames of the clips
        # Resize frames to this shorter side, then crop model.size out of them: augmentation.crop in
        # training, the center in evaluation and streams. None: crop the largest part.
        "shorter_side": optional(int),
        "evaluated": optional(int, 250),  # evaluate whole videos up to this length; None: clips
    }


def _views() -> dict[str, Any]:
    """What `mpvn eval --views` averages for each video."""
    return {
        "clips": 1,  # clips sampled as in training, spread over the video
        "crops": 1,  # crops of each clip: 1, 3, 5 or 10
        "size": optional(int),  # height and width of the crops; None: the whole frame
        "scale": 256,  # shorter side of the frames before cropping
    }


def _augmentation() -> dict[str, Any]:
    """Arguments of `Augmentation` and `Mixing` in `mpvn.data.clips`, for training."""
    return {
        "crop": "random",
        "scale": (1.0, 1.0),  # smallest and largest crop; 1 is the crop of evaluation
        "flip": True,
        "brightness": 0.0,
        "contrast": 0.0,
        "saturation": 0.0,
        "hue": 0.0,
        "rand_augment": 0,  # operations of RandAugment on each clip
        "magnitude": 0.3,  # strength of these operations, from 0 to 1
        "mixup": 0.0,  # a of the Beta(a, a) distribution of the shares of two clips; 0: not mixed
        "cutmix": 0.0,  # the same for boxes; with both, a batch is mixed by one of them
    }


def _task() -> dict[str, Any]:
    return {
        "name": "keypoints",  # a key of mpvn.tasks.registry.TASKS
        # Steps from a frame to the output that is compared with its target. None: derived; 0, but
        # with a trainer (bp, gpipe, sideways) the steps after which the network answers.
        "latency": optional(int),
        "mask_uninformed": False,  # ignore steps that no frame can have reached yet
        "options": {},  # options of the task
    }


def _model() -> dict[str, Any]:
    return {
        # A key of mpvn.models.PUBLISHED, a network of keras.applications, or a .keras file.
        "name": "par_densenet",
        "size": 64,  # height and width of the frames
        "weights": optional(str),  # a file, imagenet, or another name of mpvn models --weights
        # Input range: 0..255, 0..1, -1..1, caffe or torch; None: that of the weights.
        "pixels": optional(str),
        "initial": optional(str),  # folder of a run whose weights are loaded where they fit
        "options": {},  # options of the network's builder
        "head": {  # of networks that were not built for the task
            "after": optional(str),  # the node that a new classifier reads; None: the last ones
            "dropout": optional(float),  # before a new classifier; None: that of the old one, or 0
        },
        # What to insert into the network: options of the operations shift, inflate, shortcuts and
        # recurrent, such as {"shift": {"temporal_padding": "causal"}}; see
        # mpvn.models.surgery.operations.
        "surgery": {},
        "frozen": (),  # units or layers that are not trained
        "start": "zeros",  # what memories start from: zeros, or primed (by the first frame)
    }


def _plan() -> dict[str, Any]:
    """Arguments of `mpvn.Plan`."""
    return {
        "file": optional(str),  # a plan that mpvn plan --json has written, instead of all others
        "subnetworks": 1,  # with a file, an assignment, or branches: as many as that makes
        "partition": optional(str),  # None: units for published networks, else equal
        "assignment": optional(str),  # name=number,... or a .json file; see mpvn.plan.assignment
        "clocks": optional(str),  # auto; None: those of the model's temporal strides
        "phases": optional(str),  # aligned, chain, flat, fresh; None: aligned for published ones
        "head": optional(str),  # first node, or unit, of a fresh head; None: no fresh head
        # One device for each subnetwork, "/GPU:0,/GPU:1" or a tuple; or auto. None: TensorFlow's
        # choice. See mpvn.cluster.devices.
        "devices": optional(object),
    }


def _optimizer() -> dict[str, Any]:
    return {
        "name": "sgd",  # or adam
        "learning_rate": 0.1,
        # Clips per update that this rate is for. Linear scaling rule: with k times as many
        # (batch_size, accumulate) the rate is k times as high, and needs a warm-up (Temporal Shift
        # Module, section 7.3). None: the rate is as given.
        "base_batch": optional(int),
        "momentum": 0.9,  # of sgd
        # Decay per unit of the learning rate, as in Keras: apart from the momentum. In PyTorch the
        # momentum m multiplies it by 1 / (1 - m).
        "weight_decay": optional(float),
        "policy": optional(str),  # rates and decay by weight: tsm (see mpvn.training.policies)
        # In addition to those of the policy:
        "decay_exclude": (),  # patterns of weights that do not decay, such as "*/bias"
        "rates": (),  # pairs of a pattern and the factor of the learning rate of these weights
        "clip_norm": optional(float),  # largest norm of the gradient; None: not clipped
        "schedule": "constant",  # or steps, cosine
        "boundaries": (),  # steps: when the rate falls, in the unit of the training length
        "factor": 0.1,  # steps: factor by which the rate falls
        "warm_up": 0,  # length of the linear rise to the rate, in the unit of the training length
    }


def _training() -> dict[str, Any]:
    return {
        "steps": optional(int, 300),  # length in batches
        "epochs": optional(int),  # or in epochs; then steps is None
        "batch_size": 8,  # of all replicas together
        "accumulate": 1,  # batches per update
        "checkpoint_every": 50,  # batches
        "evaluate_every": 100,  # in the unit of the training length
        "evaluate_first": optional(int),  # videos of every evaluation but the last; None: all
        "trainer": optional(str),  # bp, gpipe or sideways; None: Keras's, exact along time
        "update_every": optional(int),  # trainers: steps between updates; None: one per clip
        "realtime": False,  # bp: frames pass while the network is busy with one
        # Evaluation also compares the output of each step with the frame of that step: the metrics
        # `mse_realtime` and so on. With `realtime`, the network is busy then, too.
        "evaluate_realtime": False,
        # Replicas of the network that share each batch: mirrored, on all local devices, or
        # multi_worker, in the processes of a cluster; None: one replica.
        "strategy": optional(str),
        # Whether batch norm takes the statistics of the clips of all replicas.
        "synchronized_batch_norm": True,
        "executor": "auto",
        "rematerialize": False,
        "dtype_policy": "float32",  # or mixed_bfloat16, mixed_float16
        "batch_norm": "trained",  # or frozen, or frozen_but_first (TSN's partial batch norm)
        # Share of its moving statistics that batch norm keeps in a batch of clips (with a trainer:
        # in a step). For short runs; None: the momentum of the layers, in a call.
        "batch_norm_momentum": optional(float),
        # In the loss of training alone; metrics and the loss of evaluation are without.
        "label_smoothing": 0.0,  # share of a label that is spread over all classes
        "class_weights": optional(object),  # balanced, or by name of the class: {"wave": 2.0}
        "non_finite_patience": 20,  # batches in a row with a NaN or infinite loss that stop a run
        "deterministic": False,  # bit-equal runs, slower
    }


def optional_keys() -> frozenset[str]:
    """Return the dotted names of the keys that may be None."""
    return frozenset(_optional(_defaults(), ""))


def _optional(tree: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, FieldReference):
            yield f"{prefix}{key}"
        elif isinstance(value, dict):
            yield from _optional(value, f"{prefix}{key}.")
