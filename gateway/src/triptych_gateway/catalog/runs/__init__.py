"""How sessions run: states, buttons, leases, runs of phases, shards, and the results they write."""
