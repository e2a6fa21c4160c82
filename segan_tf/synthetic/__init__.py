"""Synthetic dermoscopy images with exact label maps."""
