"""Keras models over one frame as graphs of nodes and tensors.

`data.py` has the classes, `reading.py` makes them from a model, `regions.py` merges nodes that
regroup the batch axis.
"""
