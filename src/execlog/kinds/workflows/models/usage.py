"""What one model call used, taken from the fields providers report it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from execlog.core.pricing import CallUsage

_DIGITS = 15


def from_openai(usage: Any, tier: Any = None) -> CallUsage | None:
    """The usage an OpenAI-compatible answer reports, served in this tier; None where it reports none."""
    if not isinstance(usage, Mapping):
        return None
    said = cast("Mapping[str, Any]", usage)
    if not _is_readable(said, "prompt_tokens", "completion_tokens"):
        return None
    read, wrote = _part(said, "prompt_tokens_details"), _part(said, "completion_tokens_details")
    reasoning = _count(wrote, "reasoning_tokens") or _count(said, "reasoning_tokens")
    apart = _apart(said, reasoning)
    more = {
        "input_audio_tokens": _count(read, "audio_tokens"),
        "output_audio_tokens": _count(wrote, "audio_tokens"),
        "output_citation_tokens": _count(said, "citation_tokens"),
        "web_searches": _count(said, "num_search_queries"),
    }
    return CallUsage(
        input=_count(said, "prompt_tokens"),
        output=_count(said, "completion_tokens") + apart,
        # Some compatible servers say it one level up, or by another name.
        cached=_count(read, "cached_tokens")
        or _count(said, "cached_tokens")
        or _count(said, "prompt_cache_hit_tokens"),
        reasoning=reasoning or apart,
        cache_write=_count(read, "cache_write_tokens"),
        more=_some(more),
        terms=_terms(service_tier=tier),
    )


def from_anthropic(usage: Any) -> CallUsage | None:
    """The usage an Anthropic-compatible answer reports; None where it reports none.

    Its `input_tokens` leave out what was read from and written to the cache.
    """
    if not isinstance(usage, Mapping):
        return None
    said = cast("Mapping[str, Any]", usage)
    if not _is_readable(said, "input_tokens", "output_tokens"):
        return None
    cached, written = _count(said, "cache_read_input_tokens"), _count(said, "cache_creation_input_tokens")
    return CallUsage(
        input=_count(said, "input_tokens") + cached + written,
        output=_count(said, "output_tokens"),
        cached=cached,
        reasoning=_count(_part(said, "output_tokens_details"), "thinking_tokens"),
        cache_write=written,
        cache_write_1h=_count(_part(said, "cache_creation"), "ephemeral_1h_input_tokens"),
        more=_some({"web_searches": _count(_part(said, "server_tool_use"), "web_search_requests")}),
        terms=_terms(service_tier=said.get("service_tier"), speed=said.get("speed")),
    )


def _apart(said: Mapping[str, Any], reasoning: int) -> int:
    """Tokens of output that are not among `completion_tokens`, where its provider counts reasoning apart.

    xAI and Google tell them by a total that is more than both parts; Perplexity, which reports citations, leaves them
    out of that as well.
    """
    if "citation_tokens" in said:
        return reasoning + _count(said, "citation_tokens")
    apart = _count(said, "total_tokens") - _count(said, "prompt_tokens") - _count(said, "completion_tokens")
    return apart if apart > 0 and reasoning in {0, apart} else 0


def _some(units: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in units.items() if count}


def _terms(**terms: Any) -> dict[str, str]:
    return {name: term for name, term in terms.items() if isinstance(term, str)}


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part: Any = said.get(name)
    return cast("Mapping[str, Any]", part) if isinstance(part, Mapping) else {}


def _is_readable(said: Mapping[str, Any], *names: str) -> bool:
    """Whether what is said under these names are counts: what cannot be read is unknown, and does not cost nothing."""
    return all(said.get(name) is None or _whole(said[name]) is not None for name in names)


def _count(said: Mapping[str, Any], name: str) -> int:
    """A count of tokens; 0 for what is none."""
    return _whole(said.get(name)) or 0


def _whole(value: Any) -> int | None:
    """A count as servers write it: 12, 12.0 or "12"; None for anything else."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= _DIGITS else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value >= 0 and value == value // 1 else None
