"""The library: directories and photos, where files moved, and what is missing."""
