"""TSM on ResNet-50, on Something-Something V1 (*Temporal Shift Module*, section 5).

The data set is at `--config.data.path`. A clip is one frame of each of eight parts of the video.
`mpvn eval RUN --views` is the accurate test, 2 clips of 3 crops; add `--config.views.clips=1
--config.views.crops=1 --config.views.size=224` for the efficient one. Without shifts,
`--config.model.options.shift=False`, this is TSN, which cannot see the order of frames; online,
`--config.model.options.temporal_padding=causal`. The paper starts from torchvision's ImageNet
weights, `--config.model.weights=imagenet` (a download, or the path of the file); without, they are
random. As in the authors' code, biases and batch norm do not decay, biases learn twice as fast, and
the classifier five times. The size of random crops is our choice.

`mpvn sweep --grid figure_8` trains TSN, TRN-Multiscale and online TSM (also rows of table 2), with
the data, weights and schedule of TSM. TRN relates the features of the eight frames, and answers at
the last one; before it, the frames seen are repeated to eight (`keras_layers.TemporalRelation`).
`mpvn eval RUN RUN RUN --early FILE.svg` draws the early answers of all three.

Takes: 50 epochs in batches of 64 clips, 8 frames of 224x224 each; the time has not been measured
here. Expect: 45.6 top-1, TSN 19.7, TRN 38.9, online 46.3 (paper).
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "something_something_v1"
    config.data.train = {"split": "train"}
    config.data.evaluation = {"split": "val"}
    config.clip.frames = 8
    config.clip.sampling = "segments"
    config.clip.short = "hold"
    config.clip.evaluated = None
    config.views.clips = 2
    config.views.crops = 3
    config.views.size = 256
    config.augmentation.scale = (0.66, 1.0)
    config.augmentation.flip = False  # classes differ in left and right
    config.task.name = "action"
    config.model.name = "tsm_resnet50"
    config.model.size = 224
    config.model.options = {"shift": True, "temporal_padding": "symmetric", "dropout": 0.5}
    config.optimizer.learning_rate = 0.01
    config.optimizer.weight_decay = 0.001  # 1e-4 in PyTorch, where a momentum of 0.9 multiplies it
    config.optimizer.policy = "tsm"
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries = (20, 40)
    config.training.steps, config.training.epochs = None, 50
    config.training.batch_size = 64
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 5
    return config


def get_grid_figure_8() -> dict[str, Any]:
    without_shifts = {"model.options.shift": False}
    relation = {"model.options.relation": True, "task.options.answer": "last"}
    return {
        "network": {
            "TSN": without_shifts,
            "TRN": without_shifts | relation,
            "TSM": {"model.options.temporal_padding": "causal"},
        }
    }


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"model.options.shift": (True, False), "clip.frames": (8, 16)}


def get_grid_table_7() -> dict[str, tuple[Any, ...]]:
    return {"model.options.temporal_padding": ("symmetric", "causal")}
