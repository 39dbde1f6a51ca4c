"""Who may call, and how much. Knows nothing of upstreams or of the gateway."""
