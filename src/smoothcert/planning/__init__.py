"""Room for planning: sample complexity and cost before a run."""
