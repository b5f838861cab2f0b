"""What a fit would do, measured on one step of it, with nothing kept."""
