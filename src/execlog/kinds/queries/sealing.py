"""Encryption of what a query says before it becomes durable (extra `crypto`), with AES-256-GCM.

    [queries]
    seal_key_env = "EXECLOG_SEAL_KEY"        # 32 bytes, Base64: openssl rand -base64 32
    old_seal_keys_env = "EXECLOG_OLD_KEYS"   # keys that were used before, separated by commas: only to read

Sealed are the query's text and its parameters. Its name in lists is left out, and of an error message only the first
line is kept, with numbers and quoted parts masked. The execution's id is bound to it: a sealed text cannot be moved.
The same text of the same execution is sealed the same each time, so that saying it again changes nothing: the nonce
is a keyed hash of both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import msgspec

from execlog.core.errors import MissingExtraError, SettingsError
from execlog.core.fingerprint import normalise
from execlog.core.model import Error, Event
from execlog.core.settings import section

PREFIX = "sealed:v1:"
_SETTINGS = ("seal_key_env", "seal_key_file", "old_seal_keys_env", "old_seal_keys_file")
_KEY_BYTES, _NONCE_BYTES, _NAME_BYTES = 32, 12, 4


class Sealer:
    """Seals with the first key, opens with any."""

    def __init__(self, *keys: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingExtraError("crypto", needed_for="encryption of stored query text") from error
        self._keys = {_name(key): AESGCM(key) for key in keys}
        self._own = _name(keys[0])
        self._nonce_key = keys[0]

    @classmethod
    def of(cls, key: str, old: str = "") -> Self:
        """The sealer of keys as they are configured. Raises SettingsError."""
        return cls(*(_decoded(one) for one in (key, *old.split(",")) if one.strip()))

    def seal(self, text: str, execution_id: str) -> str:
        """The text, sealed."""
        plain, bound = text.encode("utf-8", "surrogatepass"), execution_id.encode()
        said = len(bound).to_bytes(8, "big") + bound + plain
        nonce = hashlib.blake2b(said, digest_size=_NONCE_BYTES, key=self._nonce_key, person=b"execlog nonce").digest()
        sealed = self._keys[self._own].encrypt(nonce, plain, bound)
        return f"{PREFIX}{self._own}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, value: Any, execution_id: str) -> Any:
        """What was sealed; the value itself where it is not sealed, or not for us."""
        if not isinstance(value, str) or not value.startswith(PREFIX):
            return value
        from cryptography.exceptions import InvalidTag

        name, _, text = value.removeprefix(PREFIX).partition(":")
        key = self._keys.get(name)
        if key is None:
            return value
        try:
            data = base64.urlsafe_b64decode(text)
            opened = key.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], execution_id.encode())
        except (InvalidTag, binascii.Error, ValueError):
            return value
        return opened.decode("utf-8", "replace")

    def sealed(self, event: Event) -> Event:
        """The event as it may become durable."""
        params = None
        if event.params is not None:
            params = {"sealed": self.seal(msgspec.json.encode(event.params, enc_hook=repr).decode(), event.id)}
        return msgspec.structs.replace(
            event,
            name=None,
            input=self.seal(str(event.input), event.id) if event.input is not None else None,
            params=params,
            error=None if event.error is None else _masked(event.error),
        )


@lru_cache(maxsize=64)
def sealer_of(home: Path) -> Sealer | None:
    """The sealer that the configuration file asks for, read once; None where it asks for none. Raises SettingsError."""
    settings = section(home, "queries", keys=_SETTINGS)
    key = _setting(settings, "seal_key")
    return Sealer.of(key, _setting(settings, "old_seal_keys")) if key else None


def _masked(error: Error) -> Error:
    return Error(error.type, normalise(error.message.partition("\n")[0]))


def _setting(settings: dict[str, Any], name: str) -> str:
    variable, file = settings.get(f"{name}_env"), settings.get(f"{name}_file")
    if variable is not None:
        if str(variable) not in os.environ:
            raise SettingsError(f"queries.{name}_env: the environment has no {variable!r:.60}")
        return os.environ[str(variable)]
    if file is not None:
        try:
            return Path(str(file)).expanduser().read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"queries.{name}_file: {error}") from error
    return ""


def _decoded(key: str) -> bytes:
    try:
        raw = base64.b64decode(key.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError("queries: a seal key is Base64 of 32 bytes: openssl rand -base64 32") from error
    if len(raw) != _KEY_BYTES:
        raise SettingsError(f"queries: a seal key has 32 bytes, not {len(raw)}: openssl rand -base64 32")
    return raw


def _name(key: bytes) -> str:
    return hashlib.blake2s(key, digest_size=_NAME_BYTES).hexdigest()
