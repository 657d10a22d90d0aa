"""The graph of near neighbours: exact or approximate, and its connected components."""
