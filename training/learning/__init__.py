"""The network in training: its step, its optimiser, what is frozen and what is kept of it."""
