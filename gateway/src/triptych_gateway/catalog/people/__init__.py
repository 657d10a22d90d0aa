"""Persons, groups and faces: as they are shown, and what people say of them."""
