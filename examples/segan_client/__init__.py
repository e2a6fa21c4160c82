"""The parts of serving_client.py: copy this folder with it."""
