"""The pictures of the terminal in docs/images are those of today's tables."""

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

SCRIPT = Path(__file__).parent.parent / "docs/pictures.py"


@pytest.fixture(scope="module")
def written() -> dict[Path, str]:
    """What the script would write, by file."""
    spec = importlib.util.spec_from_file_location("pictures", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found: dict[Path, str] = script.pictures()
    return found


def test_the_pictures_are_what_the_script_writes(written: dict[Path, str]) -> None:
    assert {path.name for path in written} == {path.name for path in (SCRIPT.parent / "images").glob("*.svg")}
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is not of today: run python docs/pictures.py"


def test_the_pictures_load_nothing_and_show_what_the_command_prints(written: dict[Path, str]) -> None:
    for path, text in written.items():
        words = "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")
        assert "$ vggcalc " in words
        assert "3×3" in words
        assert not re.search(r"(src|href|@import)\b|url\((?!#)", text), path.name
