"""Reading, preparing and drawing over images."""
