"""Why an execution failed, and what is different from another: `show`, `explain` and `compare`."""

from __future__ import annotations

import json
import re
import sys

import known
from execlog.ledger import Ledger


def test_why_an_item_failed_is_told_with_the_place(execlog, tmp_path):
    script = tmp_path / "nightly.py"
    script.write_text(
        "import execlog\n"
        "with execlog.run('nightly', kind='etl') as run:\n"
        "    for stock in run.items(['MSFT', 'GOOG']):\n"
        "        with stock:\n"
        "            {'MSFT': 1}[stock.value]\n"
    )
    home = tmp_path / "home"
    execlog(home, "run", "--name", "whole", "--", sys.executable, str(script))
    shown = execlog(
        home, "show", json.loads(execlog(home, "latest", "nightly", "--json").stdout)["executions"][0]["id"]
    )
    assert "nightly.py:5 <module>" in shown.stdout.partition("Why")[2].partition("Items")[0]


def test_compare_shows_what_changed(execlog, tmp_path):
    home = tmp_path / "home"
    for code, year in ((4, "2003"), (0, "2004"), (4, "2005")):
        execlog(home, "run", "--name", "flaky", "--tag", f"year={year}", "--", "sh", "-c", f"exit {code}", code=code)
    first, middle, last = [
        line.split("\t")[0] for line in execlog(home, "list", "--sort", "oldest", "--no-header").stdout.splitlines()
    ]
    assert "has not succeeded before that" in execlog(home, "compare", first, code=3).stderr
    assert "It went well, and as usual." in execlog(home, "explain", middle).stdout
    shown = execlog(home, "compare", last).stdout
    assert "params.command: sh -c 'exit 0' -> sh -c 'exit 4'" in shown
    assert "tags.year: 2004 -> 2005" in shown
    both = json.loads(execlog(home, "compare", last, first, "--json").stdout)
    assert [both["before"]["id"], both["after"]["id"]] == [first, last]
    why = execlog(home, "show", last).stdout
    assert "The same error came 1 more time in the last 30 days." in why
    assert "Changed since it last went well: params.command, tags.year." in why
    said = execlog(home, "explain", last).stdout
    assert said in why
    found = json.loads(execlog(home, "explain", last, "--json").stdout)
    assert all(sentence in said for sentence in found["summary"])
    assert (found["last_success"]["id"], found["failures_since"]) == (middle, 0)


def test_show_says_of_a_success_what_is_unusual(execlog, tmp_path):
    home = tmp_path / "home"
    with Ledger.open(home=home) as ledger:
        for rows in (10, 11, 12, 11, 10, 90):
            id_ = ledger.record("load", rows=rows, metadata={"a_long_name_of_a_value": rows})
    shown = execlog(home, "show", id_).stdout
    assert "Unusual\n  Unusual rows: 90; the last 5 that went well had 11 (10 to 12).\n" in shown
    assert "  a_long_name_of_a_value 90\n" in shown


def test_long_texts_are_shown_where_they_part(execlog, tmp_path):
    home = tmp_path / "home"
    with Ledger.open(home=home) as ledger:
        ledger.record("ask", input="Read this. " * 30 + "Be brief.")
        id_ = ledger.record("ask", input="Read this. " * 30 + "Be long.", error="empty")
    assert re.search(r"  input: ….{17}Be brief\. -> ….{17}Be long\.\n", execlog(home, "show", id_).stdout)


def test_compare_shows_items_that_came_to_something_else(execlog, known_home):
    shown = execlog(known_home, "compare", known.ident("aaaa"), known.ident("aaab")).stdout
    assert re.search(r"GOOG +✗ failed +✓ succeeded", shown)
    assert "MSFT" not in shown
