"""One process that computes for several others: its server, and the engine that asks it."""
