"""Photos through a model, in every service that takes photos: requests, turns, micro-batches, the device."""
