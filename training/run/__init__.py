"""One run, from its classes to trained weights, and all that can happen to it on the way."""
