"""Every snippet of README.md and docs/ does what the page says."""

from __future__ import annotations

import pytest

import snippets

FOUND = {str(page.relative_to(snippets.ROOT)): snippets.find(page) for page in snippets.pages()}


@pytest.mark.parametrize("page", FOUND)
def test_the_snippets_of_a_page_run(page, tmp_path):
    with snippets.Reader(tmp_path / "reader") as reader:
        reader.run(FOUND[page])


def test_the_readme_is_read():
    assert "README.md" in FOUND


def test_a_snippet_that_is_not_run_says_why():
    assert [one.where for found in FOUND.values() for one in found if one.unrun is not None and not one.unrun] == []
