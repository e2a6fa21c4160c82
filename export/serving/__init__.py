"""The SavedModel for TF Serving."""
