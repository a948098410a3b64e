"""Plans: which node of a frame model runs in which subnetwork, and when."""

from mpvn.plan.plan import Plan
from mpvn.plan.resolve import PlanError

__all__ = ["Plan", "PlanError"]
