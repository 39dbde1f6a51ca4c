"""Configuration as code: a file in LiteLLM's format is read, compared with the database, and applied."""
