"""The embedder: photos to vectors."""
