"""The Responses API: who owns a stored response, and a translation for servers that have no `/v1/responses`."""
