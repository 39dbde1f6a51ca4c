"""The account of tokens: what an answer's bytes say of the call. Pure."""
