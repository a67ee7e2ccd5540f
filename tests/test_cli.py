"""The command line: standard output, standard error, exit status; in a real process where streams are tested."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from process import invoke, run

import vggcalc


def of_json(*arguments: str, stdin: str = "") -> Any:
    done = invoke(*arguments, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def variants(document: Any, index: int = 0) -> dict[str, Any]:
    return {variant["name"]: variant for variant in document["comparisons"][index]["variants"]}


# What it answers


def test_compare_vgg16_carries_the_published_figures() -> None:
    found = variants(of_json("compare", "vgg16", "--no-latency"))
    assert found["naive"]["costs"]["parameters"] == 144_727_144
    assert found["naive"]["costs"]["macs"] == 15_521_644_544
    assert found["factorized"]["costs"]["parameters"] == 138_357_544
    assert found["factorized"]["costs"]["macs"] == 15_470_264_320
    assert found["factorized"]["receptive_field"] == {
        "size": [212, 212],
        "stride": [32, 32],
        "padding": [90, 90],
    }


def test_json_has_the_keys_of_schema_version_1() -> None:
    document = of_json("factorize", "7", "--no-latency")
    assert document["schema_version"] == 1
    assert document["vggcalc_version"] == vggcalc.__version__
    assert document["command"] == "factorize"
    assert {"macs", "flops", "receptive_field"} <= set(document["conventions"])
    assert document["environment"] is None
    (comparison,) = document["comparisons"]
    assert comparison["input_shape"] == [1, 64, 56, 56]
    assert comparison["baseline"] == "naive"
    naive = comparison["variants"][0]
    assert naive["weights_per_channel_pair"] == 49
    assert naive["convolutions"] == naive["nonlinearities"] == 1
    assert naive["costs"]["parameters"] == 200_768
    assert naive["costs"]["macs"] == 629_407_744
    assert naive["costs"]["flops"] == 1_258_815_488
    assert naive["blocks"][0]["kernels"] == [[7, 7]]
    layer = naive["layers"][0]
    assert (layer["name"], layer["layer"]["type"]) == ("block1.conv1", "Conv2d")
    assert layer["layer"]["kernel_size"] == [7, 7]
    assert layer["receptive_field"] == {"size": [7, 7], "stride": [1, 1], "padding": [3, 3]}
    assert naive["latency"] == []
    assert naive["crosscheck"] is None
    (ratio,) = comparison["ratios"]
    assert ratio["variant"] == "factorized"
    assert ratio["costs"]["macs"] == pytest.approx(27 / 49)
    assert all(note["code"] and note["text"] for note in comparison["findings"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("factorize", "5", "7", "--stride", "2", "--stride-at", "first"),
        ("compare", "vgg16_bn"),
        ("summary", "A-LRN"),
        ("compare", "64,M,128@1,256@7s2,M", "--size", "32"),
    ],
    ids=" ".join,
)
def test_json_is_valid_against_the_schema(arguments: tuple[str, ...]) -> None:
    schema = json.loads(invoke("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(of_json(*arguments, "--no-latency"))


def test_the_schema_refuses_a_wrong_document() -> None:
    schema = json.loads(invoke("schema").stdout)
    document = of_json("factorize", "7", "--no-latency")
    del document["comparisons"][0]["baseline"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_factorize_shows_weights_and_maps() -> None:
    text = invoke("factorize", "5", "7", "9", "11", "--no-latency", "--details").stdout
    for figure in ("25 → 18", "49 → 27", "81 → 36", "121 → 45"):
        assert figure in text
    # 7×7 on 56×56: the output padded, and as it shrinks by 2 at every layer unpadded
    assert re.search(r"conv1 +3×3 +56×56 +56×56 +54×54 ", text)
    assert re.search(r"conv2 +3×3 +56×56 +56×56 +52×52 ", text)
    assert re.search(r"conv3 +3×3 +56×56 +56×56 +50×50 ", text)
    assert "56 → 54 → 52 → 50" in text.replace("\n", " ")


def test_the_findings_say_what_the_numbers_say() -> None:
    def notes(*arguments: str) -> str:
        document = of_json(*arguments, "--no-latency")
        (comparison,) = document["comparisons"]
        return " ".join([document["answer"], *(note["text"] for note in comparison["findings"])])

    assert "7×7 has 49 weights and the stack 27: 45% fewer." in notes("factorize", "7")
    assert notes("factorize", "7").startswith(
        "The stack of three 3×3 has 45% fewer weights and does 45% fewer MACs than the 7×7; it was not timed. "
    )
    assert "8.02 times as many MACs as the 7×7" in notes("factorize", "7", "--in-channels", "3")
    assert "its first layer already widens the channels 3 → 64" in notes("factorize", "7", "--in-channels", "3")
    assert "its last layer has the stride of 2" in notes("factorize", "7", "--stride", "2")
    strided = notes("factorize", "5", "--stride", "2", "--stride-at", "first")
    assert "The receptive fields differ: 7×7 at stride 2 in the stack, 5×5 at stride 2 in the 5×5." in strided
    vgg = notes("compare", "vgg16")
    assert "0.33% fewer MACs" in vgg
    assert "In block1 the stack does 8.04 times as many MACs as its 5×5" in vgg
    assert "21% more MACs" in notes("compare", "B")
    assert "nothing to factorize" in notes("factorize", "3")
    same = notes("compare", "64,M,64,M")
    assert "nothing to merge" in same
    assert "nothing to split" in same


def test_models_in_every_form(tmp_path: Path) -> None:
    tokens = "64,64,M,128@7s2,M"
    toml = tmp_path / "net.toml"
    toml.write_text('features = [64, 64, "M", "128@7s2", "M"]\n')
    as_json = tmp_path / "net.json"
    as_json.write_text(json.dumps({"features": tokens.split(",")}))
    expected = variants(of_json("compare", tokens, "--no-latency"))
    for model, stdin in (
        (str(toml), ""),
        (str(as_json), ""),
        ("-", toml.read_text()),
        ("-", as_json.read_text()),
        ("-", tokens),
    ):
        found = variants(of_json("compare", model, "--no-latency", stdin=stdin))
        assert found["naive"]["costs"] == expected["naive"]["costs"]
        assert found["factorized"]["layers"] == expected["factorized"]["layers"]


def test_the_configuration_file_of_the_design(tmp_path: Path) -> None:
    path = tmp_path / "tiny-vgg.toml"
    path.write_text(
        'name = "tiny-vgg"\ninput = [3, 32, 32]\n'
        'features = [64, 64, "M", 128, "128@1", "256@7s2", "M"]\n'
        "classifier = [512, 10]\nbatch_norm = false\n"
    )
    document = of_json("summary", str(path), "--no-latency")
    (comparison,) = document["comparisons"]
    assert comparison["name"] == "tiny-vgg"
    assert comparison["input_shape"] == [1, 3, 32, 32]
    assert comparison["ratios"] == []
    (variant,) = comparison["variants"]
    assert variant["name"] == "tiny-vgg"
    assert variant["output_shape"] == [1, 10]
    features = 1_792 + 36_928 + 73_856 + 16_512 + 1_605_888  # Σ out·(in·k² + 1)
    classifier = 512 * (256 * 4 * 4 + 1) + 10 * (512 + 1)  # 32 → 16 → 8 → 4
    assert variant["costs"]["parameters"] == features + classifier


def test_names_in_any_case_and_both_schemes() -> None:
    for one, two in (("vgg16", "D"), ("VGG11_BN", "a_bn"), ("vgg13", "B"), ("vgg19", "e")):
        assert (
            variants(of_json("compare", one, "--no-latency"))["naive"]["costs"]
            == variants(of_json("compare", two, "--no-latency"))["naive"]["costs"]
        )


def test_csv_carries_the_same_figures() -> None:
    """Every kind of rows adds up to the same total."""
    for rows in ("total", "block", "layer"):
        done = invoke("compare", "vgg16", "--no-latency", "--format", "csv", "--rows", rows)
        found = list(csv.DictReader(io.StringIO(done.stdout)))
        for variant, macs in (("naive", 15_521_644_544), ("factorized", 15_470_264_320)):
            assert sum(int(row["macs"]) for row in found if row["variant"] == variant) == macs
    default = invoke("compare", "vgg16", "--no-latency", "--format", "csv").stdout
    ratios = [float(row["macs_ratio"]) for row in csv.DictReader(io.StringIO(default))]
    assert ratios == [1, 15_470_264_320 / 15_521_644_544]


@pytest.mark.parametrize("rows", ["layer", "module", "total"])
def test_a_csv_of_a_summary_adds_up_too(rows: str) -> None:
    text = invoke("summary", "vgg16", "--no-latency", "--format", "csv", "--rows", rows).stdout
    assert sum(int(row["macs"]) for row in csv.DictReader(io.StringIO(text))) == 15_470_264_320
    if rows == "layer":
        assert text == invoke("summary", "vgg16", "--no-latency", "--format", "csv").stdout


def test_a_csv_has_the_blocks_ratios() -> None:
    """The first block of VGG-16 costs eight times as much: TRUTH of the tutorial."""
    text = invoke("compare", "vgg16", "--no-latency", "--format", "csv", "--rows", "block").stdout
    (first,) = (
        row for row in csv.DictReader(io.StringIO(text)) if (row["variant"], row["block"]) == ("factorized", "block1")
    )
    assert float(first["macs_ratio"]) == (64 * 9 * 3 + 64 * 64 * 9) / (64 * 25 * 3)


def test_markdown_is_a_table() -> None:
    lines = invoke("factorize", "7", "--no-latency", "--format", "markdown").stdout.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table[:10]}) == 1
    assert any("629,407,744" in line and "346,816,512" in line for line in table)


# Where it goes


def test_no_colour_in_a_pipe_and_nothing_on_standard_error() -> None:
    done = run("compare", "vgg16", "--no-latency")
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("columns", [80, 100, 160])
@pytest.mark.parametrize("model", ["vgg19_bn", "C", "A-LRN"])
def test_tables_fit_their_width(columns: int, model: str) -> None:
    text = invoke("compare", model, "--no-latency", COLUMNS=str(columns)).stdout
    assert max(map(len, text.splitlines())) <= columns
    for variant in variants(of_json("compare", model, "--no-latency")).values():
        for costs in (variant["costs"], *(block["costs"] for block in variant["blocks"])):
            assert re.search(rf"\b{costs['parameters']:,}\b", text), "no figure is cut"
            assert re.search(rf"\b{costs['macs']:,}\b", text), "no figure is cut"


def test_a_wide_terminal_shows_more_columns() -> None:
    narrow, wide = (invoke("compare", "vgg16", "--no-latency", COLUMNS=c).stdout for c in ("80", "160"))
    heads = [next(line for line in text.splitlines() if line.startswith("block ")) for text in (narrow, wide)]
    assert "activations" not in heads[0]
    assert "peak activations" in heads[1]


@pytest.mark.parametrize(
    "command", ["compare vgg19 --no-latency --json", "sweep --kernel 3:31:2 --channels 1:100 --format csv"]
)
def test_head_ends_quietly(command: str) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m vggcalc {command} | head -c 10"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stderr in ("", "vggcalc: sweep\n")
    assert (done.returncode, len(done.stdout)) == (0, 10)


def test_output_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    done = invoke("compare", "vgg16", "--no-latency", "--json", "--output", str(path))
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads(path.read_text())["schema_version"] == 1
    before = path.read_bytes()
    assert invoke("compare", "vgg16", "--size", "8", "--no-latency", "--output", str(path)).returncode == 2
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_terminal_that_knows_only_ascii_gets_an_answer() -> None:
    done = run("factorize", "7", "--no-latency", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "629,407,744" in done.stdout


def test_version_and_help() -> None:
    assert run("--version").stdout == f"vggcalc {vggcalc.__version__}\n"
    for command in ("factorize", "compare", "summary", "models", "schema"):
        done = invoke(command, "--help")
        assert done.returncode == 0
        assert f"Example: vggcalc {command}" in " ".join(done.stdout.split())


def test_shell_completion() -> None:
    done = run("fact", _VGGCALC_COMPLETE="bash_source")
    assert "_VGGCALC_COMPLETE" in done.stdout


# What is refused: one line that names the culprit and what would be right, exit status 2


BAD: list[tuple[tuple[str, ...], str]] = [
    (("factorize", "8"), r"8 is even.*Try 7 or 9"),
    (("factorize", "2"), r"2 is even.*Try 3$"),
    (("factorize", "-3"), r"-3 is negative"),
    (("factorize", "0"), r"0 is not positive"),
    (("factorize", "1"), r"1 covers one position"),
    (("factorize", "1001"), r"1001 is too large: the largest is 999"),
    (("factorize", "9" * 30), r"too large"),
    (("factorize", "seven"), r"'seven' is no kernel: write one odd number"),
    (("factorize", "7.5"), r"'7.5' is no kernel"),
    (("factorize",), r"Missing argument 'KERNEL"),
    (("factorize", "7", "--padding", "0", "--size", "5"), r"5×5 feature map is smaller than the 7×7 window.*7×7"),
    (("factorize", "7", "--channels", "10", "--groups", "3"), r"3 groups do not divide in_channels 10"),
    (("factorize", "7", "--channels", "1" + "0" * 18), r"in_channels 10+ is out of range"),
    (("factorize", "7", "--channels", "3", "--in-channels", "4"), r"channels is both ends"),
    (("factorize", "7", "--depthwise", "--groups", "2"), r"depthwise says the groups"),
    (("factorize", "7", "--widths", "3,64,64", "--widen", "last"), r"leave out widen"),
    (("factorize", "7", "--widths", "3,64"), r"name 3 widths"),
    (("factorize", "7", "--widths", "3,64,65"), r"must end with out_channels, 64"),
    (("factorize", "7", "--widths", "x"), r"widths 'x' is no number"),
    (("factorize", "7", "--groups", "2", "--widths", "3,64,64"), r"3 is not divisible by the 2 groups"),
    (("factorize", "7", "--stride", "0"), r"stride 0 is out of range"),
    (("factorize", "7", "--size", "5y7"), r"'5y7' is no size"),
    (("factorize", "7", "--batch", "0"), r"batch 0 is out of range"),
    (("factorize", "7", "--padding", "much"), r"padding 'much' is no number: write same"),
    (("compare", "vgg17"), r"unknown model 'vgg17': did you mean vgg1\d"),
    (("compare", "resnet"), r"unknown model 'resnet': try vgg11"),
    (("compare", ""), r"unknown model ''"),
    (("compare", "vgg16", "--size", "16"), r"block5\.pool: a 1×1 feature map.*at least 32×32"),
    (("compare", "64,M,12x"), r"token 3, '12x'"),
    (("compare", "64,,M"), r"token 2, ''"),
    (("compare", "64@4"), r"token 1, '64@4': kernel 4 is even.*Try 3 or 5"),
    (("compare", "64,M,64g7"), r"token 3, '64g7': 7 groups do not divide"),
    (("compare", "M,M"), r"no convolution"),
    (("compare", "nowhere.toml"), r"nowhere\.toml: No such file"),
    (("compare", "."), r"\.: Is a directory"),
    (("compare", "vgg16", "--classes", "0"), r"out_features 0 is out of range"),
    (("compare", "64,M", "--classes", "10"), r"no classifier"),
    (("compare", "vgg16", "--in-channels", "0"), r"input channels 0 is out of range"),
    (("compare", "vgg16", "--dtype", "int8"), r"'int8' is none of"),
    (("compare", "vgg16", "--budget", "nan"), r"'nan' is no time"),
    (("compare", "vgg16", "--json", "--format", "csv"), r"contradict"),
    (("compare", "vgg16", "--rows", "layer"), r"--rows layer is for a CSV: give --format csv"),
    (("compare", "vgg16", "--rows", "module", "-o", "x.csv"), r"--rows module is for a summary: choose total, block"),
    (("summary", "vgg11", "vgg13", "--format", "csv", "--rows", "layer"), r"--rows is for one model$"),
    (("compare", "vgg16", "--nope"), r"compare has no option --nope: vggcalc compare --help shows all$"),
    (("factorize", "--kernal", "7"), r"has no option --kernal: write KERNEL without it, as in vggcalc factorize 5"),
    (("factorize", "7", "--no_latncy"), r"has no option --no_latncy: did you mean --no-latency\?$"),
    (("factorize", "7", "--depth", "3"), r"has no option --depth, which summary has: did you mean --depthwise\?$"),
    (("factorize", "7", "--columns", "macs"), r"has no option --columns, which summary has: vggcalc factorize --help"),
    (("compare", "vgg16", "--channels", "3"), r"which factorize and sweep have: did you mean --in-channels\?$"),
    (("factorize", "7", "-f", "json"), r"has no option -f: short ones are -o and -h; vggcalc factorize --help"),
    (("--versoin",), r"has no option --versoin: did you mean --version\?$"),
    (("summary", "vgg16", "--colums", "macs"), r"did you mean --columns\?$"),
    (("summary", "vgg16", "--columns", "mac"), r"cost 'mac' is unknown: did you mean macs\?$"),
    (("factorize", "7", "--into", "asym"), r"family 'asym' is unknown: did you mean asymmetric\?"),
    (("factorize", "7", "--format", "markdwon"), r"'markdwon' is unknown: did you mean markdown\? There are table,"),
    (
        ("factorize", "7", "--no-latency", "--fail-if", "macs > 3"),
        r"of which variant\? Write naive\.macs or factorized\.m",
    ),
    (
        ("factorize", "7", "--no-latency", "--fail-if", "naive.mac > 3"),
        r"figure 'mac' is unknown: did you mean macs\?$",
    ),
    (("compare", "vgg16", "--dtype", "flaot16"), r"dtype 'flaot16' is unknown: did you mean float16"),
    (("compare", "vgg16", "--mode", "trainng"), r"'trainng' is unknown: did you mean training"),
    (("compare", "vgg16", "--into", "seperable"), r"family 'seperable' is unknown: did you mean separable"),
    (("factorize", "7x4"), r"kernel 7×4 is even"),
    (("factorize", "7x5", "--dims", "3"), r"kernel_size 7×5 has 2 numbers for 3 axes"),
    (("factorise", "7"), r"No such command 'factorise': did you mean factorize\?$"),
    (("factorize", "7", "--bias", "false"), r"--bias takes no value, such as false: write it alone, or --no-bias$"),
    (
        ("factorize", "7", "--causal", "True"),
        r"--causal takes no value, such as True: write it alone, or leave --causal",
    ),
    (("factorize", "--version"), r"has no option --version, which vggcalc has"),
    (
        ("summary", "vgg16", "--into", "stack"),
        r"--into, which factorize, compare, rewrite and sweep have: vggcalc summary",
    ),
    (("factorize", "7", "--no-latency", "-o", "x.svg"), r"--output x\.svg is a picture, which --plot x\.svg draws$"),
    (
        ("factorize", "7", "--no-latency", "-o", "x.xlsx"),
        r"x\.xlsx says no format: end it with \.txt, \.json, .* or give",
    ),
    (("factorize", "7", "--no-latency", "-o", ""), r"--output is empty: name a file"),
    (("compare", "vgg16,vgg19"), r"vgg16,vgg19: write several models with spaces between them"),
    (("sweep", "--kernel", "3:9:2", "--crossover", "chanels"), r"axis 'chanels' is unknown: did you mean channels"),
    (("factorize", "7", "--budget", "2days"), r"'2days' is no time"),
    (("help",), r"No such command 'help': vggcalc --help shows all, vggcalc factorize -h one$"),
    (("compare", "vgg16", "--no-latency", "--output", "/nowhere/x"), r"--output /nowhere/x cannot be written"),
    (("compare", "vgg16", "--no-latency", "--output", "."), r"--output \. cannot be written: it is a dir"),
    (("summary",), r"Missing argument 'MODEL\.\.\.', as in vggcalc summary vgg16"),
    (("nothing",), r"No such command 'nothing'"),
]


#: What has nothing to act on, says its default, or is written in another way, is accepted.
ACCEPTED = [
    ("factorize", "7", "--widths", "3,64,64", "--widen", "FIRST"),
    ("factorize", "7", "--into", "Stack,SEPARABLE", "--device", "CPU", "--mode", "Inference"),
    ("factorize", "7", "--channels", "32", "--in-channels", "32"),
    ("factorize", "7", "--depthwise", "--groups", "1"),
    ("factorize", "7", "--quick", "--processes", "6", "--budget", "30", "--rounds", "9"),
    ("factorize", "7", "--no-check", "--precision", "3%", "--allocator", "PINNED", "--memory-format", "Contiguous"),
    ("compare", "alexnet", "--activation", "RELU", "--bias"),
    ("compare", "googlenet", "--into", "STACK", "--widen", "first"),
    ("COMPARE", "VGG16"),
    ("factorize", "7", "--budget", "2min", "--mode", "train", "--memory-format", "channels-last"),
    ("factorize", "7", "7", "--padding", "valid", "--activation", "swish", "--into", "all,stack"),
    ("summary", "vgg16", "--sort", "Saved activations", "--columns", "MACs, weights"),
    ("summary", "vgg16", "--as", "FVCORE"),
    ("factorize", "7", "--stride-at", "first"),
    ("factorize", "7", "--widen", "last"),
    ("factorize", "7", "--stem", "--pad-at", "First", "--between", "nothing"),
    ("compare", "vgg16", "alexnet", "--pad-at", "each", "--between", "activation"),
    ("factorize", "7", "--in-channels", "3", "--into", "separable", "--widen", "last"),
    ("factorize", "7x7", "--padding", "SAME", "--activation", "ReLU"),
    ("factorize", "7,9", "--dtype", "fp16"),
    ("compare", "vgg16", "--budget", "3", "--threads", "ALL", "--seed", "1"),
    ("compare", "vgg16", "--into", "stack", "--stride-at", "first"),
    ("compare", "vgg16", "--min-kernel", "3"),
    ("compare", "vgg16", "--merge", "--min-kernel", "7"),
    ("compare", "vgg16", "--input", "1x3x224x224", "--format", "md"),
    ("summary", "vgg16", "--format", "json", "-o", "-"),
]


@pytest.mark.parametrize("arguments", ACCEPTED, ids=" ".join)
def test_what_does_not_contradict_is_accepted(arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments, "--no-latency")
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr == ""


def refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("vggcalc: error: ")
    assert re.search(message, done.stderr.rstrip("\n")), done.stderr


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(case)[:60] for case, _ in BAD])
def test_bad_arguments(arguments: tuple[str, ...], message: str) -> None:
    refused(invoke(*arguments), message)


BAD_FILES: list[tuple[str, bytes, str]] = [
    ("net.toml", b'features = [64, "M"\n', r"net\.toml: malformed TOML: .*"),
    ("net.toml", b"features = [64]\n\nfoo = 3\n", r"net\.toml: line 3: .*unknown field `foo`.*keys are"),
    ("net.toml", b"features = [64]\nbatch_norm = 3\n", r"line 2: Expected `bool`, got `int`.*batch_norm"),
    ("net.toml", b"features = [nan]\n", r"line 1: Expected .*got `float` - at `\$\.features\[0\]`"),
    ("net.toml", b"", r"net\.toml is empty"),
    ("net.toml", b"features = [64, 'M', '12x']", r"net\.toml: token 3, '12x'"),
    ("net.json", b'{"features": [64,,"M"]}', r"net\.json: malformed JSON: .*line 1, column 18"),
    ("net.json", b'{"features": [NaN]}', r"net\.json: NaN"),
    (
        "net.json",
        b'{"features": [64], "input": [3, "x", 5]}',
        r"Expected `int`, got `str` - at `\$\.input\[1\]`",
    ),
    ("net.json", b"[1, 2]", r"Expected `object`, got `array`"),
    ("net.json", b"{}", r"missing required field `features`"),
    ("net.json", b'{"features": [1000000000000000000]}', r"token 1, 10+: out_channels 10+ is out of range"),
    ("net.json", b'{"features": [64], "activation": "tanhh"}', r"activation 'tanhh' is unknown: .*relu"),
    ("net.json", b"[" * 100_000, r"malformed JSON"),
    ("net.json", b"\xff\xfe\x00\x80", r"not text: byte 0"),
    ("net.json", b" " * 1_000_001, r"larger than 1,000,000 bytes"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    BAD_FILES,
    ids=[f"{name} {content[:20]!r}" for name, content, _ in BAD_FILES],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused(invoke("compare", str(path), "--no-latency"), message)


def test_a_file_of_100_megabytes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    refused(invoke("compare", str(path)), r"huge\.toml is larger than 1,000,000 bytes")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text("features = [64]")
    path.chmod(0)
    refused(invoke("compare", str(path)), r"net\.toml: Permission denied")


def test_empty_standard_input() -> None:
    refused(invoke("compare", "-"), r"standard input is empty")
