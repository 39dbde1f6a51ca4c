"""Moving in from LiteLLM: its PostgreSQL tables are read, compared with what is here, and taken over."""
