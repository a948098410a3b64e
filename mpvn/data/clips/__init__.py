"""From videos to batches of clips."""
