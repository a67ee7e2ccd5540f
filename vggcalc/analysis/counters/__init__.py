"""What other FLOPs counters report for a network, reconciled with its exact MACs.

A new counter is a rule in `rules.COUNTERS`; `terms` is what rules are made of, `amounts` what a term can add.
"""
