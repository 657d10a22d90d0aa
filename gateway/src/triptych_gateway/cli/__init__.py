"""The command line: starts everything, trains, and shows what came of it."""
