"""Bad input, made on the spot, through a whole stack and into every parser of ours: `make fuzz`."""
