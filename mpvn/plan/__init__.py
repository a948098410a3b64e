"""Plans: which node of a frame model runs in which subnetwork, and when."""

from mpvn.plan.faults import PlanError
from mpvn.plan.plan import Plan

__all__ = ["Plan", "PlanError"]
