"""Serves a model on this machine, to try clients: docs/serving.md."""
