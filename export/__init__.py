"""What leaves the building: SavedModel, TFLite and their proofs."""
