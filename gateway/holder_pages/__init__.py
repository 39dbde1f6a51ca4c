"""The key holder's page at `/me/`: for who has a key, and no account in the admin."""
