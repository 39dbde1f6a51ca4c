"""Names with `*` for any characters, as lists of models, upstreams and routes hold them. Pure."""


def matches(pattern: str, text: str) -> bool:
    """Whether the text fits the pattern. Linear in the text, unlike a regex."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    if not text.startswith(first):
        return False
    place = len(first)
    for part in rest[:-1]:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(text) - place >= len(rest[-1]) and text.endswith(rest[-1])
