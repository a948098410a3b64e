"""Plans: which node of a frame model runs in which subnetwork, and when."""

from mpvn.plan.plan import Plan, PlanError

__all__ = ["Plan", "PlanError"]
