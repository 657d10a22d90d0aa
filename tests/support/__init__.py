"""What several tests stand on: real servers, running processes, and photos made on the spot."""
