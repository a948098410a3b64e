"""Depth-parallel training: Sideways, Skip-Sideways, GPipe, and the schedules that they follow."""
