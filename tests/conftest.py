"""What holds for all tests, once Django is there; what comes before it is in plugin.py."""


def pytest_configure() -> None:
    from tests.support.emptying import empty_quickly

    empty_quickly()
