"""A month of believable traffic for screenshots and tests: `manage.py seed_demo`. Nothing of it is ever called."""
