"""What to certify: a `Request` is what a person asks for, a `Spec` adds every fact found before the first image."""

from smoothcert.spec.locked import DataFacts, ModelFacts, Recipe, Spec, read_spec
from smoothcert.spec.request import Request, Sigma, Target, make_request

__all__ = ["DataFacts", "ModelFacts", "Recipe", "Request", "Sigma", "Spec", "Target", "make_request", "read_spec"]
