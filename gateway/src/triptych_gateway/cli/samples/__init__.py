"""`triptych samples`: a photo library of any size, made from pictures that installed packages carry."""
