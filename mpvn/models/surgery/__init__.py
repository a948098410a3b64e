"""Functions that derive a new model from a Keras model: with layers inserted or replaced."""
