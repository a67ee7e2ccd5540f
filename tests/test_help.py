"""`-h` and `--help` of every command: what they show, and that what they print is accepted as it stands."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from process import invoke

import vggcalc
from vggcalc.cli.app import COMMANDS, cli
from vggcalc.cli.groups import FEW, Command, GroupedOption
from vggcalc.errors import nearest
from vggcalc.nets.families import FAMILIES
from vggcalc.nets.names import ITEMSIZE

CONTEXT = click.Context(cli, info_name="vggcalc")


def command(name: str) -> click.Command:
    found = cli.get_command(CONTEXT, name)
    assert found is not None
    return found


GROUPED = [name for name in COMMANDS if isinstance(command(name), Command)]


def options(name: str) -> list[GroupedOption]:
    return [one for one in command(name).params if isinstance(one, GroupedOption) and one.expose_value]


@pytest.mark.parametrize("name", GROUPED)
def test_help_shows_every_option_once_under_a_heading(name: str) -> None:
    shown = invoke(name, "--help").stdout
    sections = shown[shown.index(f"{options(name)[0].heading}:\n") :].partition("\n  Example:")[0]
    listed = re.findall(r"^  ((?:-\w, )?--\w[\w-]*|-h)\b", sections, re.MULTILINE)
    own = [", ".join(sorted(one.opts, key=len)) for one in options(name)]
    assert sorted(listed) == sorted([*own, "-h", "--help"])
    headings = re.findall(r"^(\w[\w ]*):$", shown, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert {one.heading for one in options(name)} == set(headings) - {"Help"}


@pytest.mark.parametrize("name", GROUPED)
def test_h_shows_the_options_that_people_use(name: str) -> None:
    shown = invoke(name, "-h").stdout
    own = options(name)
    brief = [one for one in own if one.common or len(own) < FEW]
    assert 0 < len(brief) < FEW
    for one in own:
        assert bool(re.search(rf"(^|, ){one.opts[0]}\b", shown.replace("\n  ", "\n"), re.MULTILINE)) == (one in brief)
    assert re.search(r"--help +Show this message|--help shows all", shown)
    required = [one for one in own if one.required]
    assert all(one.common for one in required)


#: What stands in capitals in a metavar, filled in.
EXAMPLES = {
    "N": "3", "NxN": "3x5", "HxW": "64x48", "TxHxW": "8x64x48", "SECONDS": "2.5", "FAMILY,…": "stack,asymmetric",
    "N,N,…": "8,16", "N,…": "8,16", "FROM:TO:STEP": "3:9:2", "SIZE,…": "7,14x7", "COST,…": "macs,saved_bytes",
    "COST": "Macs", "NAME": "cpu", "DTYPE": "float16", "Y,X": "7,7", "[AXIS]": "batch", "CONDITION": "macs > 1G",
    "[NAME=]NxCxHxW[:DTYPE]": "x=1x3x8x8:float16", "NAME=VALUE": "pretrained=false", "MM": "180", "REGEX": "conv",
    "SHARE": "95%", "AMOUNT": "1.5G",
}  # fmt: skip


def metavars() -> Iterator[tuple[str, str, str]]:
    for name in GROUPED:
        for one in options(name):
            if not one.is_flag and not isinstance(one.type, click.Path):
                for part in one.make_metavar(CONTEXT).split("|"):
                    yield name, one.opts[0], part


@pytest.mark.parametrize(("name", "opt", "part"), sorted(set(metavars())))
def test_a_metavar_is_accepted_as_it_is_printed(name: str, opt: str, part: str) -> None:
    """A word in lower case as it is, in any case; one in capitals filled in."""
    (one,) = (one for one in options(name) if opt in one.opts)
    if not re.search(r"[A-Z]", part.replace("x", "")):
        one.type.convert(part, one, CONTEXT)
        if not re.search(r"\d", part):
            assert one.type.convert(part.upper(), one, CONTEXT) == one.type.convert(part, one, CONTEXT)
    elif part in EXAMPLES:
        one.type.convert(EXAMPLES[part], one, CONTEXT)
    else:  # a file or a name, which is any text
        assert one.type.name == "text"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_in_the_help_is_right(name: str) -> None:
    """It is read without an error; what it does is tested elsewhere."""
    found = command(name)
    example = re.match(r"Example: vggcalc (.+?)(?: \||  | > |$)", " ".join((found.epilog or "").split()))
    assert example is not None
    own, *arguments = shlex.split(example[1])
    assert own == name
    found.make_context(name, arguments, parent=CONTEXT)


LISTS = [
    list(COMMANDS),
    list(vggcalc.COSTS),
    list(FAMILIES),
    list(ITEMSIZE),
    [one.opts[0] for one in options("summary")],
]


@given(st.sampled_from(LISTS), st.data())
def test_a_slip_of_the_finger_still_finds_the_name(names: list[str], data: st.DataObject) -> None:
    """A letter typed twice, capitals, other hyphens, or enough of the beginning."""
    name = data.draw(st.sampled_from(names))
    letters = [i for i, sign in enumerate(name) if sign.isalpha()]
    i = data.draw(st.sampled_from(letters))
    assert nearest(name[: i + 1] + name[i:], names) == name
    assert nearest(name.upper().replace("-", "_"), names) == name
    begun = name[: data.draw(st.integers(2 + name.startswith("--") * 2, len(name)))]
    if sum(other.startswith(begun) for other in names) == 1:
        assert nearest(begun, names) == name
