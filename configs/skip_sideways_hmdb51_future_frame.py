"""The frame 8 frames ahead, by Skip-Sideways (supplement), on HMDB51.

Full-Res in 8 units with shortcuts of offset 3; without them,
`--config.model.surgery.shortcuts=False`, this is Sideways. The paper gives the network, Adam and
the cosine schedule; clips, batches and the rate are our choice.

Takes: 30,000 updates on batches of 8 clips, 64 frames of 224x224 each; the time has not been
measured here. Expect: Skip-Sideways better than Sideways (paper); its values are not stated here.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "sideways_cater_autoencoding").get_config()
    config.data.name = "hmdb51"
    config.clip.short = "loop"
    config.augmentation.flip = True
    config.task.name = "future_frame"
    config.task.options = {"ahead": 8}
    config.model.name = "full_res"
    config.model.options = {"block": 2}
    config.model.surgery = {"shortcuts": {"offsets": (3,)}}
    config.plan.subnetworks = 8
    config.optimizer.schedule = "cosine"
    config.training.update_every = None
    config.training.evaluate_realtime = False
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"method": {"Skip-Sideways": {}, "Sideways": {"model.surgery.shortcuts": False}}}
