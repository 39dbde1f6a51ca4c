"""The first page: how the gateway is, what needs attention, and the way there."""
