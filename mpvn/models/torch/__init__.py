"""PyTorch checkpoints in the networks of `mpvn.models.tsm`, without PyTorch."""
