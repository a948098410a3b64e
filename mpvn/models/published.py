"""The papers' networks by name, with the numbers of subnetworks that the papers report."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras

from mpvn.models.autoencoder import autoencoder
from mpvn.models.bn_inception import bn_inception, trn_bn_inception
from mpvn.models.full_res import full_res
from mpvn.models.i3d_resnet import i3d_resnet50
from mpvn.models.par_densenet import par_densenet
from mpvn.models.par_inception import i3d_inception, par_inception
from mpvn.models.simple_cnn import simple_cnn
from mpvn.models.tsm import (
    non_local_resnet50,
    trn_mobilenet_v2,
    trn_resnet50,
    tsm_mobilenet_v2,
    tsm_resnet50,
    tsm_resnet101,
    tsm_resnext101,
)
from mpvn.models.vgg import causal_vgg_3d, vgg8, vgg16, vgg_3d
from mpvn.plan import Plan


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network of the papers.

    Attributes:
        build: Builds the frame model. `inspect.signature` lists its options: after `input_shape`,
            keyword parameters with annotations and defaults.
        paper: Title, and table or section.
        subnetworks: The published numbers of subnetworks; 1 is the sequential network.
        application: Name in `keras.applications` of a network whose weights it can load.
        torchvision: Name in torchvision of a network whose weights it can load.
        of_weights: Options of `build` that its weights imply: with them and without weights, it
            builds the network that the weights belong to.
        online: Whether the paper has an online form, too: `temporal_padding="causal"`.
    """

    build: Callable[..., keras.Model]
    paper: str
    subnetworks: tuple[int, ...]
    application: str | None = None
    torchvision: str | None = None
    of_weights: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    online: bool = False

    def plan(self, model: keras.Model, subnetworks: int | None = None, **options: Any) -> Plan:
        """Return the published plan of `model`: `PLAN`, with the clocks of its temporal strides.

        Args:
            model: Built by `build`.
            subnetworks: Number of subnetworks, published or not, up to the number of units.
                Default: 1, unless the options decide it, as an assignment does.
            **options: Other arguments of `Plan`. Our improvements are `phases="chain"`, with which
                values wait less between subnetworks, the searched phases `"flat"` and `"fresh"`,
                and `head="head"`, a head that reads the other units without delay.

        Raises:
            PlanError: If there are fewer units than subnetworks, or the options do not fit.
        """
        return Plan(model, subnetworks, **{**PLAN, **options})


PLAN: Mapping[str, Any] = MappingProxyType({"partition": "units", "phases": "aligned"})
"""Arguments of `Plan` in the papers: cut between units, phases as in the pseudo-code (*Massively
Parallel Video Networks*, figure 11), the head in the last subnetwork (section 3.1)."""

_MPVN = "Massively Parallel Video Networks"
_TSM = "Temporal Shift Module"
_NORMALIZED = {"normalized": True}

PUBLISHED: Mapping[str, Architecture] = MappingProxyType(
    {
        "par_densenet": Architecture(par_densenet, f"{_MPVN}, table 5", (1, 2, 4, 7, 14)),
        "par_inception": Architecture(par_inception, f"{_MPVN}, table 7", (1, 5, 10)),
        "i3d_inception": Architecture(i3d_inception, "Quo Vadis, Action Recognition?", (1,)),
        **{
            f"i3d_resnet50_{variant}": Architecture(
                functools.partial(i3d_resnet50, variant=variant),
                f"{_TSM}, comparison",
                (1,),
                "ResNet50",
                of_weights={"layout": "keras"},
            )
            for variant in ("3x3x3", "3x1x1", "replace")
        },
        **{
            name: Architecture(
                build, _TSM, (1,), torchvision=source, of_weights=_NORMALIZED, online=True
            )
            for name, build, source in (
                ("tsm_resnet50", tsm_resnet50, "resnet50"),
                ("tsm_resnet101", tsm_resnet101, "resnet101"),
                ("tsm_resnext101", tsm_resnext101, "resnext101_32x8d"),
                ("tsm_mobilenet_v2", tsm_mobilenet_v2, "mobilenet_v2"),
                ("non_local_resnet50", non_local_resnet50, "resnet50"),
            )
        },
        **{
            name: Architecture(
                build, f"{_TSM}, baseline TRN", (1,), torchvision=source, of_weights=_NORMALIZED
            )
            for name, build, source in (
                ("trn_resnet50", trn_resnet50, "resnet50"),
                ("trn_mobilenet_v2", trn_mobilenet_v2, "mobilenet_v2"),
            )
        },
        "tsn_bn_inception": Architecture(bn_inception, f"{_TSM}, baseline TSN", (1,)),
        "trn_bn_inception": Architecture(trn_bn_inception, f"{_TSM}, baseline TRN", (1,)),
        "simple_cnn": Architecture(simple_cnn, "Sideways", (1, 6)),
        "vgg8": Architecture(vgg8, "Sideways, Skip-Sideways", (1, 8)),
        "autoencoder": Architecture(autoencoder, "Sideways", (1, 6)),
        "vgg16": Architecture(vgg16, "Skip-Sideways", (1, 8), "VGG16"),
        "full_res": Architecture(full_res, "Skip-Sideways", (1, 8)),
        "vgg_3d": Architecture(vgg_3d, "Skip-Sideways, baseline", (1,), "VGG16"),
        "causal_vgg_3d": Architecture(causal_vgg_3d, "Skip-Sideways, baseline", (1, 8), "VGG16"),
    }
)
"""Every published network by name."""
