"""Training: the step, the loop, checkpoints, reports, the strategy."""
