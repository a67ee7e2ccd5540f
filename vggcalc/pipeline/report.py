"""From comparisons to the report that every format renders: findings, conventions, changes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

import vggcalc
from vggcalc.analysis.pareto import pareto
from vggcalc.report.findings import findings
from vggcalc.report.findings.answer import answer
from vggcalc.results import (
    CONVENTIONS,
    SCHEMA_VERSION,
    Comparison,
    Environment,
    Fleet,
    ModelCosts,
    Report,
    RewrittenModel,
)
from vggcalc.results.vocabulary import COST_DEFINITIONS

if TYPE_CHECKING:
    from vggcalc.report.gate.gate import Gate


def make_report(
    command: str,
    comparisons: Sequence[Comparison] = (),
    environment: Environment | None = None,
    gate: "Gate | None" = None,
    models: Sequence[ModelCosts] = (),
    fleet: Fleet | None = None,
    pending: bool = False,
    rewritten: RewrittenModel | None = None,
) -> Report:
    """The report of a command, of comparisons, of several models, of several machines or of a rewritten model.

    The answer, findings and the Pareto-optimal variants are as they follow from what was measured; `pending` says that
    times are still being measured.
    """
    environment = environment or next((one.environment for one in comparisons if one.environment), None)
    complete = []
    for comparison in comparisons:
        chosen = msgspec.structs.replace(
            comparison, pareto=pareto(comparison.variants, comparison.ratios), environment=None
        )
        if len(chosen.variants) == 1 and chosen.modules is None:  # such as an earlier version's summary
            from vggcalc.analysis.modules import summarize_modules

            chosen = msgspec.structs.replace(chosen, modules=summarize_modules(chosen.variants[0]))
        complete.append(msgspec.structs.replace(chosen, findings=findings(chosen)))
    if fleet is not None:
        from vggcalc.report.findings.fleet import fleet_findings

        fleet = msgspec.structs.replace(fleet, findings=fleet_findings(fleet))
    conventions = CONVENTIONS | {key: f"{one.text} ({one.unit})" for key, one in COST_DEFINITIONS.items()}
    report = Report(
        SCHEMA_VERSION,
        vggcalc.__version__,
        command,
        conventions,
        environment,
        tuple(complete),
        models=tuple(models),
        fleet=fleet,
        rewritten=rewritten,
    )
    report = msgspec.structs.replace(report, answer=answer(report, pending))
    return gate.against(report) if gate is not None else report
