"""Search by likeness: the spaces of models, their tables, and what is nearest in them."""
