"""Who keeps a row of this app, so that nobody changes another's."""

ADMIN, ENVIRONMENT, CONFIG, API, DISCOVERED = "admin", "environment", "config", "api", "discovered"


def sources() -> list[tuple[str, str]]:
    """People in the admin; HOSTED_VLLM_API_BASE at each start; a config file, when applied; programs, over REST; the
    server's own list."""
    return [
        (ADMIN, "Admin"),
        (ENVIRONMENT, "Environment"),
        (CONFIG, "Config file"),
        (API, "REST API"),
        (DISCOVERED, "Discovered"),
    ]
