"""Payload capture: what was asked and answered in the calls of one key or one model, for a limited time."""
