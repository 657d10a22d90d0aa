"""Photos decoded in processes of their own, so that whatever a photo does to its decoder costs that photo alone.

``pool`` hands photos to processes (``process`` is one, seen from the service; ``child`` is one, from inside), as
``messages`` say, through ``shared_bytes``. Why so: docs/decisions/0034-decoders-apart.md.
"""
