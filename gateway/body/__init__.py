"""The request's body: received, scanned for the few fields that matter, and edited without reading it twice."""
