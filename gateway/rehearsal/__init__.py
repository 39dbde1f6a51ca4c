"""Would this call be allowed, and if not, by which rule? Asks the relay's own steps, and takes nothing from limits."""
