"""The flow stream of TSM on ResNet-50, of Something-Something V1, beside the RGB stream of
tsm_something_v1_resnet50.py (*Temporal Shift Module*, section 5; *Temporal Segment Networks*).

It sees five pairs of frames at each of eight, by TV-L1, and is otherwise trained as the RGB stream:
the paper says no more. Begin with that run, as *Temporal Segment Networks* does (section 3.2),
`--config.model.initial=runs/tsm_something_v1_resnet50` (with the `--config.model.weights` that it
had, if any, which also say how pixels are normalized), and keep the flow, which takes long to
compute, `--config.data.flow.folder=FOLDER`. Together they are
`mpvn eval runs/tsm_something_v1_resnet50 runs/tsm_something_v1_resnet50_flow --views`.
"""

import pathlib

from ml_collections import ConfigDict

from mpvn.training import load_config


def get_config() -> ConfigDict:
    config = load_config(pathlib.Path(__file__).with_name("tsm_something_v1_resnet50.py"))
    config.data.flow.stack = 5
    config.data.flow.method = "tvl1"
    return config
