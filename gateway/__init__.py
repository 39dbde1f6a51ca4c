"""The Django project and the traffic app: settings, URLs, the relay, the request log, the admin."""
