"""A stack under load for long, whose sessions are started, paused, cancelled and restarted at random: `make soak`."""
