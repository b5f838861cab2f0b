"""The online wing: image bytes in, an answer out."""
