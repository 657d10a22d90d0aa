"""Bad input, made on the spot, through a whole stack and into parsers of ours: `make fuzz`."""
