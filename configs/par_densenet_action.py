"""Par-DenseNet for actions on Mini-Kinetics (*Massively Parallel Video Networks*, appendix C).

Data and grid (table 1 of the paper) as in par_inception_action.py. Temporal filters are of two
frames, in all convolutions but the first (appendix D).

Takes: 150,000 updates on batches of 2 clips, 64 frames of 224x224 each; the time has not been
measured here. Expect: table 1 of the paper; its accuracies are not stated here.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import sibling

INCEPTION = sibling(__file__, "par_inception_action")


def get_config() -> ConfigDict:
    config = INCEPTION.get_config()
    config.model.name = "par_densenet"
    config.model.options = {"clocks": True, "temporal_kernel": 2, "temporal_filters": "all"}
    config.optimizer.boundaries = (100_000,)
    config.training.steps = 150_000
    config.training.batch_size = 2
    config.training.evaluate_every = 10_000
    return config


def get_grid() -> dict[str, Any]:
    return {"network": INCEPTION.table_1(*PUBLISHED["par_densenet"].subnetworks[-2:])}
