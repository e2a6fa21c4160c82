"""Finding, checking, reading and streaming pairs of image and label map."""
