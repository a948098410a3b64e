"""Streams on many machines, whatever engine starts and watches their processes."""
