"""Being written."""

CLASSICS: dict[str, object] = {}
