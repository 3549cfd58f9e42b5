"""Commands as bytes, and answers as texts."""

from __future__ import annotations

from typing import Any

ODD_BYTES = "surrogateescape"
"""How bytes are read that are no text, and written again. Others write here, too: an error amid an answer loses its
rest, and a text that was read otherwise is not what is compared with."""


def as_bytes(text: str) -> bytes:
    """The bytes that were read as this text."""
    return text.encode(errors=ODD_BYTES)


def shown(text: str) -> str:
    """The text as it may be shown: with U+FFFD for bytes that are none."""
    return text if text.isascii() else as_bytes(text).decode(errors="replace")


class Packer:
    """What the driver's connections pack commands with.

    A command is one piece, made in one pass and sent by one call. The driver's own packer copies a growing buffer for
    every word and sends it six kilobytes at a time.
    """

    def pack(self, *words: Any) -> list[bytes]:
        """The command, in the one piece it is. Raises TypeError for a word that is none."""
        # The driver's names of commands may be several words: "SCRIPT LOAD".
        all_words = [*words[0].split(), *words[1:]]
        parts = [b"*%d\r\n" % len(all_words)]
        for word in all_words:
            data = word if type(word) is bytes else _encoded(word)
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        return [b"".join(parts)]


def _encoded(word: Any) -> bytes:
    if isinstance(word, str):
        return as_bytes(word)
    if isinstance(word, int | float) and not isinstance(word, bool):
        return repr(word).encode()
    raise TypeError(f"{type(word).__name__} is no word of a command")
