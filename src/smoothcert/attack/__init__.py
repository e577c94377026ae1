"""Room for attacks that cross-check certificates: a certified image must never be broken inside its radius."""
