"""What takes a bounded time and memory, or is refused with the bound: regular expressions, kernels, sweeps, layers."""

import warnings

import pytest
from builders import PLANAR
from process import invoke

from vggcalc.errors import InputError
from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.layers import Conv2d
from vggcalc.nets.paths import chain_paths, chain_positions
from vggcalc.nets.patterns import check_pattern, found_in, may_take_long

NAMES = ("conv1", "inception3a.5x5", "inception3a.5x5_reduce", "a" * 40)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("x{99999999999}", "a number in it is too large"),
        ("(" * 500, "nested too deeply"),
        ("(", "unterminated subpattern"),
        ("[[5x5", "unterminated character set"),
        ("*", "nothing to repeat"),
        ("a" * 1001, "longer than 1,000 characters"),
        ("\udc80", "no text"),
    ],
)
def test_patterns_that_are_none(pattern: str, why: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=why) as raised:
            check_pattern(pattern)
    assert len(str(raised.value)) < 1000
    done = invoke("compare", "googlenet", "--no-latency", "--only", pattern)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert why in done.stderr


@pytest.mark.parametrize("pattern", ["(?:.*){30}z", "(a|a)*z", "(a+)+z", "(a?){40}a{40}z", "(.*)*b"])
def test_catastrophic_patterns_are_ended(pattern: str) -> None:
    """Each would take longer than the universe is old."""
    assert may_take_long(pattern, NAMES)
    with pytest.raises(InputError, match=r"takes more than 0\.5 s to search for"):
        found_in(pattern, ("a" * 200,), 0.5)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("5x5", NAMES[1:3]),
        ("5x5$", NAMES[1:2]),
        (r"^(conv|inception)\d+a?(\.5x5)?$", NAMES[:2]),
        ("[[5x5]", NAMES[1:3]),
        ("a{40}", NAMES[3:]),
        ("nothing", ()),
    ],
)
def test_a_pattern_finds_what_re_finds(pattern: str, found: tuple[str, ...]) -> None:
    assert found_in(pattern, NAMES, 60.0) == frozenset(found)


@pytest.mark.parametrize("pattern", ["5x5", r"^conv\d", "block[12]", "a.c"])
def test_plain_patterns_need_no_process(pattern: str) -> None:
    assert not may_take_long(pattern, NAMES)
    assert may_take_long(".*.*.*.*", ["a" * 300])


@pytest.mark.parametrize("family", PLANAR)
def test_no_family_takes_a_kernel_beyond_the_largest(family: str) -> None:
    with pytest.raises(InputError, match="too large: the largest is 999"):
        factorized(Conv2d(8, 8, (999_999, 999_999)), Factorization(family))


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("family", PLANAR)
def test_positions_are_those_with_paths(family: str, stride: int) -> None:
    for branch in factorized(Conv2d(8, 8, (7, 7), (stride, stride), (6, 6), (2, 2)), Factorization(family)):
        by_paths = [{at for at, count in enumerate(axis.counts, axis.first) if count} for axis in chain_paths(branch)]
        assert [set(axis) for axis in chain_positions(branch)] == by_paths


@pytest.mark.parametrize(
    "arguments",
    [
        ("factorize", "7", "--dilation", "100000000", "--into", "all"),
        ("factorize", "999", "--dilation", "1000000", "--stride", "100000"),
        ("factorize", "7", "--stride", "100000000", "--stride-at", "first", "--into", "all"),
        ("factorize", "7", "--padding", "2000000000", "--size", "2000000000", "--batch", "2000000000"),
        ("sweep", "--kernel", "3:31:2", "--dilation", "100000000"),
        ("compare", "64@999999", "--min-kernel", "3"),
    ],
)
def test_large_arguments_take_no_time_and_no_memory(arguments: tuple[str, ...]) -> None:
    """Else it would end only with the machine's memory."""
    done = invoke(*arguments, *(["--no-latency"] if arguments[0] != "sweep" else []))
    assert done.returncode in (0, 1), done.stderr


@pytest.mark.parametrize(
    ("arguments", "bound"),
    [
        (("compare", ",".join(["64"] * 10_001)), "give at most 10,000"),
        (("compare", ",".join(["64@999"] * 100), "--min-kernel", "5"), "more than 20,000 layers"),
        (("factorize", ",".join(map(str, range(3, 1000, 2)))), "more than 20,000 layers"),
        (("sweep", "--kernel", "3:31:2", "--channels", "1:1000", "--size", "1:100000"), "more than 20,000,000"),
        (("sweep", "--kernel", "3:31:2", "--stride", "1:100000"), "more than 5,000,000"),
    ],
)
def test_refused_with_the_bound(arguments: tuple[str, ...], bound: str) -> None:
    done = invoke(*arguments, *(["--no-latency"] if arguments[0] != "sweep" else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert bound in done.stderr
