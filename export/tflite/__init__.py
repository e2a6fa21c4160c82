"""TFLite models for phones and browsers."""
