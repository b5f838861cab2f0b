"""The online wing: images in over HTTP, answers out."""
