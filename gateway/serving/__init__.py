"""How the gateway is started and served: settings checked, two planes under gunicorn, one supervisor."""
