"""What every Triptych process stands on: settings, logging, gRPC, errors, progress publishing, media."""
