"""Finding, checking, reading and splitting image and label map pairs."""
