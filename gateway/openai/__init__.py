"""The OpenAI-compatible face, `/v1`: what it does beyond passing calls on."""
