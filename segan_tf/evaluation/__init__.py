"""Metrics, the evaluator, the report and prediction on images."""
