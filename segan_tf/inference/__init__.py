"""Prediction with Keras models, SavedModels and TFLite models."""
