"""Text of strangers on a terminal."""

from rich.text import Text


def plain(text: object, style: str = "") -> Text:
    """Text without markup and without control characters: a registry may say anything."""
    return Text("".join(character if character.isprintable() else "�" for character in str(text)), style=style)
