"""`triptych models`: weights, and which model each service is to run."""
