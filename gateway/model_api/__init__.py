"""LiteLLM's `/model/*`: deployments over REST, for the master key and management keys; names and limits for all."""
