"""What to certify: a `Request` is what a person asks for, a `Spec` adds every fact found before the first image."""

from smoothcert.spec.criteria import Criterion, Place
from smoothcert.spec.inputs import Inputs, Reading
from smoothcert.spec.locked import DataFacts, ModelFacts, Recipe, Spec, read_spec
from smoothcert.spec.production import Device, Price, Production, make_production
from smoothcert.spec.request import Request, Target, make_request
from smoothcert.spec.share import Share, parse_share
from smoothcert.spec.values import Sigma

__all__ = [
    "Criterion",
    "DataFacts",
    "Device",
    "Inputs",
    "ModelFacts",
    "Place",
    "Price",
    "Production",
    "Reading",
    "Recipe",
    "Request",
    "Share",
    "Sigma",
    "Spec",
    "Target",
    "make_production",
    "make_request",
    "parse_share",
    "read_spec",
]
