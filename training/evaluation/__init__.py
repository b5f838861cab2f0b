"""How good a model is: figures, and the protocols that measure them."""
