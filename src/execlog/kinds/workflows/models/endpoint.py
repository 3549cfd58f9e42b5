"""Where models are asked: an endpoint's address, format, key and patience."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from execlog.core.codec import convert
from execlog.core.errors import InvalidError, SettingsError
from execlog.core.settings import section

Api = Literal["openai", "anthropic"]
_BASES: dict[str, str] = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
_KEYS: dict[str, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


class Endpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint that speaks the OpenAI (chat completions) or the Anthropic (messages) format.

    base_url       its address, as the provider's own clients take it; a query, such as Azure's ?api-version=…, goes
                   with each request; empty: the provider's own
    api_key        its key; better: `api_key_env`, the name of the environment variable that holds it
    provider       whose prices hold, as the price table calls it; without one, told by the address
    headers        further headers of each request
    timeout        seconds without a byte after which a call is given up; a step's own time-out bounds it as a whole
    retries        further tries after 408, 409, 429, a 5xx or a broken connection
    max_wait       seconds; a Retry-After that asks for more fails the call
    """

    api: Api = "openai"
    base_url: str = ""
    api_key: str | None = None
    api_key_env: str | None = None
    provider: str | None = None
    headers: dict[str, str] = {}
    timeout: Annotated[float, Meta(gt=0)] = 120.0
    connect_timeout: Annotated[float, Meta(gt=0)] = 10.0
    retries: Annotated[int, Meta(ge=0, le=20)] = 3
    max_wait: Annotated[float, Meta(ge=0)] = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"base_url must be an http or https address, not {self.base_url!r:.100}")

    def __repr__(self) -> str:
        return f"Endpoint(api={self.api!r}, base_url={self.url!r})"

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return (self.base_url or _BASES[self.api]).rstrip("/")

    @property
    def is_openai(self) -> bool:
        """Whether OpenAI's own models are there: at its address, or at Azure."""
        host = urlsplit(self.url).hostname or ""
        return host == urlsplit(_BASES["openai"]).hostname or host.endswith(".openai.azure.com")

    @property
    def key(self) -> str | None:
        """Its key: as given, or from the environment; the provider's usual variable only for its own address."""
        if self.api_key is not None:
            return self.api_key
        variable = self.api_key_env or (_KEYS[self.api] if not self.base_url else None)
        return os.environ.get(variable) if variable else None


def endpoints_of(home: Path) -> dict[str, Endpoint]:
    """The endpoints of the tables `[workflows.endpoints.NAME]` in the home's execlog.toml. Raises SettingsError."""
    tables: Any = section(home, "workflows", keys=("endpoints",)).get("endpoints", {})
    try:
        return {name: convert(table, Endpoint) for name, table in cast("dict[str, Any]", tables).items()}
    except (InvalidError, AttributeError) as error:
        raise SettingsError(f"{home / 'execlog.toml'}: workflows.endpoints: {error}") from error
