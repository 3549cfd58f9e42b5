"""What two errors have in common: a fingerprint that ignores numbers, ids, quoted values, addresses, paths and times.

What varies becomes `*`; codes that tell one trouble from another (exit codes, HTTP statuses, errno …) stay, and so do
whole sentences in quotes, which are another program's message.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from execlog.core.model import Error

HANDLING = "while handling "
"""How a line of a message begins that tells of an exception during whose handling this one was raised."""
_READ = 2000
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_WEEKDAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_BEFORE_CODE = "exit|code|status|errno|error|signal|sqlstate|http|returned"
_VARYING = re.compile(
    # Plain words, which are most of a message, are stepped over at once.
    rf"(?P<plain>(?<!\S)(?:(?!(?i:{_BEFORE_CODE})\b|{_MONTH}\b|{_WEEKDAY}\b)[A-Za-z]{{1,11}} )+)|"
    # A quote within a word is an apostrophe.
    r"(?P<quoted>(?<!\w)(?:'[^'\n]{0,500}'|\"[^\"\n]{0,500}\"|`[^`\n]{0,500}`)(?!\w))"
    r"|(?P<code>(?i:\b(?:exit|code|status|errno|error|signal|sqlstate|http(?:/[\d.]{1,3})?)[\s:=#]{1,3}-?\d{1,5})\b"
    r"(?![.:/,-]?\d)|(?i:\breturned )[45]\d\d\b(?! (?:rows|records|items|results|lines|values|bytes))"
    r"|\b[45]\d\d(?= (?:Client|Server) Error)|\A\(\d{3,5}(?=, [\"'])|\b(?:ORA|PLS|TNS)-\d{3,5}\b)"
    r"|(?P<url>\b[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>\])]{1,1500})"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"  # addresses of people
    r"|(?<![\w/*])(?:~|\.{1,2})?(?:/[\w.@%+=~-]+)+/?|\b[A-Za-z]:\\[^\s'\"]+"  # paths
    r"|(?<![\w./-])[\w.-]{1,100}(?:/[\w.-]{1,100})+\.[A-Za-z]\w{0,7}\b"
    r"|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\b0x[0-9a-fA-F]+\b"  # UUIDs, addresses in memory
    r"|(?<![\w:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])"  # IPv6, times
    rf"|\b(?:{_WEEKDAY},?\s{{1,3}})?(?:\d{{1,2}}\s)?{_MONTH}\.?\s{{1,3}}\d+"
    r"|(?<![\w.])[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?(?=[^\W\d_]{0,3}(?!\w))"  # numbers without units
    r"|(?<![^\W_])(?=[0-9a-fA-F]*\d)(?:[0-9a-f]{6,}|[0-9A-F]{6,})(?![^\W_])|\b[0-9a-fA-F]{12,64}\b"  # digests
    # Ids: a digit before a letter, as no word has it, or a letter and a number.
    r"|(?<![^\W_])(?:[^\W\d_]*\d+[^\W\d_]\w*(?:\.[\w-]+)*|[^\W\d_]\d+)(?![^\W_])"
    r"|\d+(?:\.\d+)*"
)
_PROSE = re.compile(r"(?:\b[A-Za-z][A-Za-z']+\b\W+){3}[A-Za-z]{2}")
_STATUS = re.compile(r".[1-5]\d\d [A-Z]")
_HOST = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?([^/?#]*)")
_IN_WORD = re.compile(r"\w")
_LISTED = re.compile(r"\*(?:, ?\*)+")


def normalise(message: str) -> str:
    """The message with everything that varies from one occurrence to the next replaced by `*`.

    Left out is what was being handled when it was raised, since it differs from one attempt to the next.
    """
    lines = [" ".join(_masked(line).split()) for line in message[:_READ].split("\n") if not line.startswith(HANDLING)]
    # Parts of an exception group ("- …") come in any order and number.
    parts = sorted({line for line in lines if line.startswith("- ")})
    return " ".join(" ".join([*(line for line in lines if not line.startswith("- ")), *parts]).split())


def fingerprint(error: Error, key: str = "") -> str:
    """Twelve hex digits, the same for errors of one type, shape of message and innermost user frame.

    Of the type and of the frame's file only the last name counts, of the frame not its line: so an error stays the same
    when code is deployed to another folder or moved. `key` is the item's that has the error: where the message names
    it, that varies too.
    """
    message = error.message[:_READ]
    return _digest(error.type, _without(key, message) if key else message, error.frames[0] if error.frames else "")


@lru_cache(maxsize=1024)
def _digest(type_: str, message: str, frame: str) -> str:
    """The same errors come in bursts, and this is paid for each that is stored."""
    where, _, function = frame.rpartition(" ")
    file = re.split(r"[/\\]", where.rpartition(":")[0])[-1]
    place = ("" if file.startswith("<") else _masked(file)) + function  # what was typed in has no file
    text = f"{type_.rpartition('.')[2]}\n{normalise(message)}\n{place}"
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _without(key: str, text: str) -> str:
    """The text with `*` where the key stands by itself. A pattern would be compiled anew for each item that failed."""
    said, kept, at = "", 0, text.find(key)
    while at >= 0:
        end = at + len(key)
        if _IN_WORD.match(text[at - 1 : at]) or _IN_WORD.match(text[end : end + 1]):
            at = text.find(key, at + 1)
            continue
        said, kept, at = f"{said}{text[kept:at]}*", end, text.find(key, end)
    return said + text[kept:]


def _masked(text: str) -> str:
    return _LISTED.sub("*", _VARYING.sub(_mask, text))


def _mask(found: re.Match[str]) -> str:
    text = found[0]
    if found["plain"] or found["code"]:
        return text
    if found["quoted"]:
        if _STATUS.match(text):
            return text
        return f'"{_masked(text[1:-1])}"' if _PROSE.search(text) else "*"
    if found["url"] and (host := _HOST.match(text)):
        return f"{host[1]}{_masked(host[2])}/*"
    return "*"
