"""How fast the gateway is: a scripted upstream, a load generator and the goals. Knows the gateway only from outside."""
