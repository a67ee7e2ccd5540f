"""What other FLOPs counters report for a network, reconciled with its exact MACs."""
