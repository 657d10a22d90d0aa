"""What a clustering reads and writes: the face space, the kept graph, and new groups in place of the former ones."""
