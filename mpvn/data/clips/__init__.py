"""From videos to batches of clips: sampling, augmentation, `tf.data` pipeline, views."""
