"""The training input: cached pairs, augmentation and batches."""
