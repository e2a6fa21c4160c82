"""Predicts images on many machines with Apache Beam, extra `beam`."""
