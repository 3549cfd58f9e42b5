"""What one model call used, taken from the fields providers report it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from execlog.core.pricing import CallUsage


def from_openai(usage: Any) -> CallUsage | None:
    """The usage an OpenAI-compatible answer reports; None where it reports none."""
    if not isinstance(usage, Mapping):
        return None
    said = cast("Mapping[str, Any]", usage)
    read, wrote = _part(said, "prompt_tokens_details"), _part(said, "completion_tokens_details")
    return CallUsage(
        input=_count(said, "prompt_tokens"),
        output=_count(said, "completion_tokens"),
        # Some compatible servers say it one level up.
        cached=_count(read, "cached_tokens") or _count(said, "cached_tokens"),
        reasoning=_count(wrote, "reasoning_tokens"),
        cache_write=_count(read, "cache_write_tokens"),
    )


def from_anthropic(usage: Any) -> CallUsage | None:
    """The usage an Anthropic-compatible answer reports; None where it reports none.

    Its `input_tokens` leave out what was read from and written to the cache.
    """
    if not isinstance(usage, Mapping):
        return None
    said = cast("Mapping[str, Any]", usage)
    cached, written = _count(said, "cache_read_input_tokens"), _count(said, "cache_creation_input_tokens")
    return CallUsage(
        input=_count(said, "input_tokens") + cached + written,
        output=_count(said, "output_tokens"),
        cached=cached,
        reasoning=_count(_part(said, "output_tokens_details"), "thinking_tokens"),
        cache_write=written,
        cache_write_1h=_count(_part(said, "cache_creation"), "ephemeral_1h_input_tokens"),
    )


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part: Any = said.get(name)
    return cast("Mapping[str, Any]", part) if isinstance(part, Mapping) else {}


def _count(said: Mapping[str, Any], name: str) -> int:
    """A count of tokens; 0 for what is none."""
    value = said.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
