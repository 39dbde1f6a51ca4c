#!/usr/bin/env python
"""The command line. A wrong setting ends it with one sentence and status 1."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from gateway.config.startup import ConfigError, prepare_environment

    try:
        prepare_environment(sys.argv[1:], os.environ)  # before the first setting is read
        execute_from_command_line(sys.argv)
    except (ConfigError, ImproperlyConfigured) as error:
        sys.exit(f"vllm-gateway: {error}")


if __name__ == "__main__":
    main()
