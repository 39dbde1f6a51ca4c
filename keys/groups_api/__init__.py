"""Teams, users (owners of keys) and customers (end users) over REST, with LiteLLM's names, shapes and statuses."""
