"""Functions that rebuild a Keras model with layers replaced or inserted."""
