"""From encoded images to embeddings and comparisons. No HTTP here: usable from Python alone."""
