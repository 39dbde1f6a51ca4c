"""The one way in which an import fails."""


class CannotImport(Exception):
    """The import cannot go on. One sentence, without a secret, a digest or the database's address."""
