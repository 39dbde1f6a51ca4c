"""Who signs in to the admin, how, and what they may see there. Loaded by the control plane only."""
