"""What pages of executions and failures are narrowed by: what the form and the address say, and where figures lead."""

from __future__ import annotations

import re

import pytest

from execlog.core.model import Status
from histories import FAILURE, LateClock, execution, mixed, seed
from htmlreader import listed, read


class LaterClock(LateClock):
    """A minute later."""

    def now(self) -> int:
        return super().now() + 60_000_000


@pytest.fixture
def seeded(ledger, client):
    ledger.clock = LateClock()
    seed(ledger, *mixed())
    return client


def test_the_list_is_narrowed_by_its_form_and_leads_on(seeded, ledger):
    page = read(seeded, "/executions?status=failed&kind=&text=&since=")
    assert page.text.count("Failed to fetch prices") == 1
    seed(ledger, *(execution(number, id=f"more-{number}") for number in range(60)))
    [following] = [link for link in read(seeded, "/executions?kind=job").links() if "cursor=" in link]
    assert "kind=job" in following
    assert "more-" in seeded.get(f"/executions{following}").text


def test_a_window_that_moves_on_can_be_paged_through(ledger, client):
    seed(ledger, *(execution(number) for number in range(5)))
    ledger.clock = LateClock()
    [following] = [link for link in read(client, "/executions?since=24h&limit=3").links() if "cursor=" in link]
    ledger.clock = LaterClock()
    assert listed(read(client, f"/executions{following}")) == 2


def test_a_figure_leads_to_what_it_counts(seeded):
    for path in ("/", "/subject?kind=job&subject=ticker&window=24h"):
        tiles = [found for tag, found in read(seeded, path).tags if tag == "a" and found.get("aria-label")]
        counted = {str(found["aria-label"]).partition(": ")[0]: found for found in tiles}
        for label in ("Ended, 24 h", "Ended", "Failed", "Running"):
            if label in counted:
                count = int(str(counted[label]["aria-label"]).partition(": ")[2])
                assert listed(read(seeded, str(counted[label]["href"]))) == count, (path, label)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", 8),
        ("/failures?window=24h", 7),
        ("/failures?window=24h&kind=job", 4),
        ("/subject?kind=job&subject=prices&window=24h", 3),
    ],
)
def test_a_failures_count_is_how_many_its_link_shows(ledger, client, path, expected):
    ledger.clock = LateClock()
    bad = {"status": Status.FAILED, "error": FAILURE}
    told = [
        execution(number, **bad, kind=kind, subject="prices") for number, kind in enumerate(["job", "pipeline"] * 3)
    ]
    told += [execution(7, **bad, subject="others"), execution(8, **bad | {"status": Status.CANCELLED})]
    seed(ledger, *told, execution(-3000, **bad, subject="prices"))
    page = read(client, path)
    [link] = [link for link in page.links() if "fingerprint=" in link]
    [count] = re.findall(r"(\d+)×", page.text)
    assert listed(read(client, link)) == int(count) == expected


def test_the_form_asks_again_what_was_asked(seeded):
    def chosen(path: str) -> list[str | None]:
        return [found["value"] for tag, found in read(seeded, path).tags if tag == "option" and "selected" in found]

    assert chosen("/executions?status=failed&status=crashed") == ["failed,crashed"]
    assert chosen("/executions?status=timed_out,crashed,failed") == ["failed,timed_out,crashed"]
    assert chosen("/executions?status=running&status=queued") == ["queued,running"]
    assert chosen("/executions?status=open") == ["queued,running"]
    assert listed(read(seeded, "/executions?status=queued,running")) == 1
    page = read(seeded, "/executions?tags=env:prod&engine=x&status=failed&cursor=")
    hidden = {found["name"]: found["value"] for tag, found in page.tags if found.get("type") == "hidden"}
    assert hidden == {"tags": "env:prod", "engine": "x"}
    assert "tags: env:prod" in page.text


def test_what_was_asked_can_be_dropped_one_by_one(seeded):
    def drops(path: str) -> dict[str, str]:
        tags = read(seeded, path).tags
        return {str(found["aria-label"]): str(found["href"]) for _, found in tags if found.get("class") == "drop"}

    found = drops("/executions?kind=job&status=failed&status=crashed&tags=env:prod&sort=oldest&limit=2")
    assert found["Without kind: job"] == "/executions?status=failed&status=crashed&tags=env%3Aprod&sort=oldest&limit=2"
    assert found["Without status: crashed"].startswith("/executions?kind=job&status=failed&tags=")
    assert drops("/executions?kind=job")["Without kind: job"] == "/executions"
    assert "Show all" not in read(seeded, "/executions?limit=2&sort=oldest").text


def test_pages_are_left_for_the_first_one(seeded):
    [following] = [link for link in read(seeded, "/executions?kind=job&limit=2").links() if "cursor=" in link]
    page = read(seeded, f"/executions{following}")
    [first] = [link for link in page.links() if link.startswith("?") and "cursor=" not in link]
    assert first == "?kind=job&limit=2"
    [same] = [link for link in page.links() if link.startswith("/api/executions?")]
    assert [one["id"] for one in seeded.get(same).json()["executions"]] == ["run-2", "run-1"]


def test_an_id_finds_its_execution_and_an_order_stays(seeded):
    page = read(seeded, "/executions?id_prefix=run-5&sort=slowest")
    assert listed(page) == 1
    assert [found["value"] for tag, found in page.tags if tag == "option" and "selected" in found] == ["slowest"]
    assert "run-5" in [found.get("value") for tag, found in page.tags if tag == "input"]


def test_failures_of_one_kind_stay_of_that_kind(seeded):
    page = read(seeded, "/failures?window=24h&kind=workflow&text=GOOGL")
    assert [found for tag, found in page.tags if tag == "option" and "selected" in found and "value" not in found]
    assert "No failure fits" in page.text
    assert "/failures?window=24h" in page.links()


def test_an_empty_list_says_how_to_begin_unless_something_was_asked(client):
    assert "Three ways to begin" in read(client, "/executions").text
    assert "No execution fits" in read(client, "/executions?kind=job").text


@pytest.mark.parametrize("path", ["/failures?window=7d", "/executions?since=7d"])
def test_how_far_back_is_said_in_words(client, path):
    page = client.get(path).text
    assert '<option value="7d" selected>the last 7 days</option>' in page
    assert '<option value="24h">the last 24 hours</option>' in page


def test_a_time_that_is_not_offered_stays_chosen(client):
    page = client.get("/executions?since=90m").text
    assert '<option value="90m" selected>since 90m</option>' in page
