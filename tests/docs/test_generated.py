"""The pages that scripts make say what the code says today."""

from __future__ import annotations

import re

import pytest

from support.pages import PAGES
from support.service.programs import ROOT, script

SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*_page.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_generated_page_is_not_stale(name: str) -> None:
    """`make docs` was run after the last change."""
    page = script(name)
    assert page.PAGE.read_text(encoding="utf-8") == page.document(), "run make docs"


def test_a_page_names_the_script_that_makes_it() -> None:
    """So nobody edits it by hand; and no page names a script that does not make it."""
    named = {
        (page, found) for page in PAGES for found in re.findall(r"[Mm]ade .*scripts/(\w+)\.py", page.read_text("utf-8"))
    }
    assert named == {(script(name).PAGE, name) for name in SCRIPTS}
