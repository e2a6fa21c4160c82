"""Verifies every exported model against the Keras model."""
