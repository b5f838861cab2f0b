"""How speed changes with batch, image size, models and candidates."""
