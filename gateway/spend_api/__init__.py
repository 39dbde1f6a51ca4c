"""Reading usage: LiteLLM's `/spend/*`, `/global/*` and `…/daily/activity`, and `/me` for the holder of a key."""
