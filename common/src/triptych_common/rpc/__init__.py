"""gRPC on both sides: the server, channels to replicas, and errors as statuses."""
