"""From trained weights to a checkpoint in the store, with all that belongs beside them."""
