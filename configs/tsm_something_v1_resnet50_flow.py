"""The optical-flow stream of TSM on Something-Something V1 (*Temporal Shift Module*, section 5).

It reads five pairs of frames at each of eight places, by TV-L1, and is otherwise trained like the
RGB stream, tsm_something_v1_resnet50.py; the paper says no more. As in the authors' code
(`config.optimizer.policy`), the first convolution learns five times as fast. Start from the RGB
run, as *Temporal Segment Networks* does (section 3.2), with
`--config.model.initial=runs/tsm_something_v1_resnet50` (and the `--config.model.weights` of that
run, if any, because they define how pixels are normalized). Flow is slow to compute: cache it with
`--config.data.flow.folder=FOLDER`. Both streams together:
`mpvn eval runs/tsm_something_v1_resnet50 runs/tsm_something_v1_resnet50_flow --views`.

Takes: as the RGB stream, and about a second of one core per pair of frames for the flow. Expect:
the paper's accuracies are not stated here.
"""

from ml_collections import ConfigDict

from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "tsm_something_v1_resnet50").get_config()
    config.data.flow.stack = 5
    config.data.flow.method = "tvl1"
    return config
