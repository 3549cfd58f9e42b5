"""A page taken apart, for tests that look at what is in it."""

from __future__ import annotations

import html.parser

from starlette.testclient import TestClient


class Reader(html.parser.HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def links(self) -> list[str]:
        return [str(found[name]) for _, found in self.tags for name in ("href", "src", "action") if name in found]


def read(client: TestClient, path: str) -> Reader:
    """A page that is there."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Reader(answer.text)


def listed(page: Reader) -> int:
    """How many rows a table of executions or items has."""
    return sum("data-is" in attributes and attributes["data-is"] == "status" for _, attributes in page.tags)
