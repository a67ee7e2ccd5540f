"""Some cases of the project's own generator with a fixed seed: see tests/fuzz. By hand: `python -m tests.fuzz`."""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fuzz import real
from fuzz.__main__ import main, run, samples
from fuzz.cases import Case, made
from fuzz.checks import Answer, Checker, Failed
from fuzz.restating import ALL

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="uses an alarm, devices and signals"),
    pytest.mark.usefixtures("warm_workers"),
]

SEED, CASES, PARTS = 20260, 400, 4


@pytest.fixture(scope="module")
def kept() -> tuple[bytes, bytes]:
    return samples()


@pytest.fixture
def checker(tmp_path: Path) -> Checker:
    return Checker(tmp_path)


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_cases_hold(part: int, checker: Checker, kept: tuple[bytes, bytes]) -> None:
    found: Counter[str] = Counter()
    for number in range(part, CASES, PARTS):
        try:
            found[run(SEED, number, checker, kept, False)] += 1
        except Exception as error:
            error.add_note(f"python -m tests.fuzz --seed {SEED} --only {number}: {made(SEED, number, *kept).arguments}")
            raise
    assert found["status 0"] > CASES // PARTS // 10, "they are not all refused"
    assert found["status 2"] > CASES // PARTS // 10, "nor all taken"


@pytest.mark.parametrize("restatement", ALL, ids=lambda one: one.__name__)
def test_restatements_agree(restatement: object, checker: Checker) -> None:
    for number in range(4):
        restatement(random.Random(f"{SEED} {number}"), checker)  # type: ignore[operator]


@pytest.mark.parametrize("act", [real.interrupted, real.in_a_locale, real.hostile])
def test_real_processes(act: object, tmp_path: Path) -> None:
    act(random.Random(SEED), tmp_path)  # type: ignore[operator]


def test_a_case_is_made_of_its_seed_and_number_alone(kept: tuple[bytes, bytes]) -> None:
    assert [made(1, number, *kept) for number in range(50)] == [made(1, number, *kept) for number in range(50)]
    assert made(1, 3, *kept) != made(2, 3, *kept)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(5, "", ""),
        Answer(2, "something", "vggcalc: error: no\n"),
        Answer(2, "", "vggcalc: sweep\nvggcalc: error: no\n"),
        Answer(2, "", "Error: no\n"),
        Answer(1, "", "Traceback (most recent call last):\n"),
        Answer(0, "a\x1b[31mb\n", ""),
        Answer(0, "\u202e", ""),
        Answer(2, "", "vggcalc: error: " + "x" * 2000 + "\n"),
    ],
)
def test_the_checks_can_fail(answer: Answer, checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.checks.ask", lambda arguments, stdin=b"": answer)
    with pytest.raises(Failed):
        checker.run(Case(["models"], b"", {}))


def test_the_checks_see_a_wrong_sum(checker: Checker, kept: tuple[bytes, bytes]) -> None:
    report = kept[0].decode()
    assert checker.document(report)
    with pytest.raises(Failed, match="macs of naive is not its layers'"):
        checker.document(report.replace('"macs": 86704128', '"macs": 86704129', 1))


def test_the_checks_see_a_file_left_over(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaving(arguments: list[str], stdin: bytes = b"") -> Answer:
        Path("x.json.1.part").touch()
        return Answer(0, "", "")

    monkeypatch.setattr("fuzz.checks.ask", leaving)
    with pytest.raises(Failed, match=r"left over or changed: {'x\.json\.1\.part'}"):
        checker.run(Case(["models"], b"", {}))


def test_it_is_run_by_hand_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--cases", "9", "--seed", "5"])
    monkeypatch.setattr("fuzz.__main__.EVERY_REAL", 10**9)
    assert main() == 0
    assert capsys.readouterr().out.startswith("9 held, 0 failed")
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-m", "tests.fuzz", "--help"], capture_output=True, cwd=root, timeout=600)
    assert done.returncode == 0
