"""The description of the REST API: OpenAPI 3.1 at `/api/schema/`, and a page to read at `/api/docs/`."""
