# sandbox
# volume: notes-$args[user] notes
# memory: 1GiB
"""Count how often somebody was looked for; the count is in a volume."""

from pathlib import Path


def main(user: str, limit: int = 10) -> dict[str, object]:
    """Return how often it was `user`."""
    seen = Path("notes/seen")
    seen.write_text(str(int(seen.read_text()) + 1 if seen.exists() else 1))
    print("looking for", user)
    return {"user": user, "visits": int(seen.read_text()), "limit": limit}
