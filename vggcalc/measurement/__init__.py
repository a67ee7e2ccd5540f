"""The parent's side of `runtime`: plans, starts workers, turns rounds into intervals and verdicts."""
