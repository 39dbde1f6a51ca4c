"""The account of every call: journal first, then the request log and its roll-ups."""
