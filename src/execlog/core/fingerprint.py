"""What two errors have in common: a fingerprint that ignores numbers, ids, quoted values and addresses."""

from __future__ import annotations

import hashlib
import re

from execlog.core.model import Error

_VARYING = re.compile(
    r"'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`"  # quoted values
    r"|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{12,64}\b"  # UUIDs, addresses, digests
    r"|\d+(?:\.\d+)*"  # numbers, versions, times
)
_READ = 2000


def normalise(message: str) -> str:
    """The message with everything that varies from one occurrence to the next replaced by `*`."""
    return " ".join(_VARYING.sub("*", message[:_READ]).split())


def fingerprint(error: Error) -> str:
    """Twelve hex digits, the same for errors of one type, shape of message and innermost user frame (less its line)."""
    place = error.frames[0].rsplit(":", 1)[0] + error.frames[0].rpartition(" ")[2] if error.frames else ""
    text = f"{error.type}\n{normalise(error.message)}\n{place}"
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=6).hexdigest()
