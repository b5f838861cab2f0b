"""What is measured, as pictures: one module a picture, each a function from data to a PNG."""
