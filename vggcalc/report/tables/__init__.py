"""Tables of cells and sentences, which every format for people renders."""

from collections.abc import Sequence

from vggcalc.report.detail import Detail
from vggcalc.report.findings import detail_of
from vggcalc.report.tables.cells import Section, Text, section_at
from vggcalc.results import Finding, Report


def answer_section(report: Report) -> list[Section]:
    """The answer in a sentence, which comes first."""
    return [Text((report.answer,), detail=Detail.BRIEF)] if report.answer else []


def counted_sections(report: Report) -> list[Section]:
    """The tables that need no measuring."""
    if report.models:
        from vggcalc.report.tables.many import many_tables

        return many_tables(report.models)
    if report.fleet is not None:
        from vggcalc.report.tables.fleet import fleet_tables

        *tables, machines = fleet_tables(report.fleet)
        return [*tables, *findings_texts(report.fleet.findings), machines]
    if report.rewritten is not None:
        from vggcalc.report.tables.fitted import fitted_tables

        return fitted_tables(report.rewritten)
    from vggcalc.report.tables.networks import at_a_glance, network_tables

    sections = [section for comparison in report.comparisons for section in network_tables(comparison)]
    glance = at_a_glance(report.comparisons)
    return [*glance, *(section_at(section, Detail.FULL) for section in sections)] if glance else sections


def measured_sections(report: Report) -> list[Section]:
    """What was measured, the findings, and what has changed since an earlier report."""
    sections: list[Section] = []
    run = [comparison for comparison in report.comparisons if any(variant.has_run for variant in comparison)]
    if run:
        from vggcalc.report.tables.latency import timings

        sections += [section for comparison in run for section in timings(comparison)]
    if report.environment is not None:
        from vggcalc.report.tables.conditions import environment_text

        sections.append(environment_text(report.environment))
    for comparison in report.comparisons:
        sections += findings_texts(comparison.findings, comparison.name if len(report.comparisons) > 1 else "")
    if report.against is None:
        return sections
    from vggcalc.report.tables.changes import sections as changed

    return sections + changed(report)


def findings_texts(findings: Sequence[Finding], of: str = "") -> list[Section]:
    """The findings that most readers want, then the others, under the name of what they are `of`."""
    texts: list[Section] = []
    for detail in Detail:
        lines = tuple(finding.text for finding in findings if detail_of(finding) is detail)
        name = (f"{of}:",) if of and not texts else ()
        texts += [Text((*name, *lines), detail=detail)] if lines else []
    return texts
