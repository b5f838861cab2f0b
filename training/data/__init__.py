"""Images on disk: finding, splitting, sampling, augmenting them."""
