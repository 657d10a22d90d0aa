"""The face detector: photos to faces and their vectors."""
