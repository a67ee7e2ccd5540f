"""Tables of cells and sentences, which every format for people renders."""

from vggcalc.report.tables.cells import Section, Text
from vggcalc.results import Report


def counted_sections(report: Report) -> list[Section]:
    """The tables that need no measuring."""
    if report.models:
        from vggcalc.report.tables.many import many_tables

        return many_tables(report.models)
    if report.fleet is not None:
        from vggcalc.report.tables.fleet import fleet_tables

        return fleet_tables(report.fleet)
    from vggcalc.report.tables.networks import at_a_glance, network_tables

    sections = [section for comparison in report.comparisons for section in network_tables(comparison)]
    return at_a_glance(report.comparisons) + sections


def measured_sections(report: Report) -> list[Section]:
    """What was measured, the findings, and what has changed since an earlier report."""
    from vggcalc.report.tables.conditions import environment_text
    from vggcalc.report.tables.latency import timings

    sections = [section for comparison in report.comparisons for section in timings(comparison)]
    if report.environment is not None:
        sections.append(environment_text(report.environment))
    for comparison in report.comparisons:
        lines = tuple(note.text for note in comparison.findings)
        name = (f"{comparison.name}:",) if len(report.comparisons) > 1 else ()
        sections += [Text((*name, *lines))] if lines else []
    if report.against is None:
        return sections
    from vggcalc.report.tables.changes import sections as changed

    return sections + changed(report)
