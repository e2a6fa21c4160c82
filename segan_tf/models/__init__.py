"""The segmentor and the critic as Keras functional models."""
