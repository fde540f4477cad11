"""The version 1 protocols, Seldon's and TensorFlow Serving's, in front of models and pipelines."""
