"""What the deployment does: real containers under load, and the queues that they make."""
