"""Evaluation: scores, bootstrap intervals and the report."""
