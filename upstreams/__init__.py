"""Where a call can go. Knows nothing of keys or of the gateway."""
