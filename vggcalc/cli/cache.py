"""`vggcalc cache`."""

from __future__ import annotations

import click

from vggcalc.cli.types import Word


@click.command(epilog="Example: vggcalc cache clear")
@click.argument("action", type=Word(("show", "clear")), default="show")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def cache(action: str, as_json: bool) -> None:
    """Where traces of imported models are kept, how many and how much; clear removes them.

    Kept are traces of models of installed packages, by the model, its arguments and its inputs, until one of the
    packages' files changes. The folder is VGGCALC_CACHE_DIR, or the platform's own for caches; set to nothing, no
    trace is kept.
    """
    import msgspec

    from vggcalc.measurement import trace_cache
    from vggcalc.report import units

    sizes = [entry.stat().st_size for entry in trace_cache.entries()]
    if action == "clear":
        trace_cache.clear()
    where = trace_cache.folder()
    if as_json:
        found = {"folder": where, "traces": len(sizes), "bytes": sum(sizes), "removed": action == "clear"}
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    traces = f"{len(sizes)} trace{'s' * (len(sizes) != 1)}, {units.size(sum(sizes))}"
    end = ", removed" if action == "clear" else f" of at most {units.size(trace_cache.LARGEST_BYTES)}"
    click.echo("no trace is kept" if where is None else f"{where}: {traces}{end}")
