"""What the service tells of itself: metrics and logs. Never images, embeddings or keys."""
