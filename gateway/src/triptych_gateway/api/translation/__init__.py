"""The catalogue's rows as the contract's bodies."""
