"""Losses, the train step, the loop, checkpoints and the strategy."""
