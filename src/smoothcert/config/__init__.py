"""Settings: a `Request` has the settings of a run in four groups, a `Spec` adds every fact fixed before sampling."""

from smoothcert.config.certify import CertifyConfig, Criterion, Place, RuntimeConfig, Target
from smoothcert.config.inputs import DataConfig, Declared, ModelConfig, Reading
from smoothcert.config.production import Device, Price, Production, make_production
from smoothcert.config.request import Request, Share, make_request, parse_share
from smoothcert.config.spec import DataFacts, DenoiserFacts, ModelFacts, Recipe, Spec, factory_of, identity, read_spec
from smoothcert.config.stated import UNSTATED, Reference, Stated
from smoothcert.config.values import Sigma

__all__ = [
    "UNSTATED",
    "CertifyConfig",
    "Criterion",
    "DataConfig",
    "DataFacts",
    "Declared",
    "DenoiserFacts",
    "Device",
    "ModelConfig",
    "ModelFacts",
    "Place",
    "Price",
    "Production",
    "Reading",
    "Recipe",
    "Reference",
    "Request",
    "RuntimeConfig",
    "Share",
    "Sigma",
    "Spec",
    "Stated",
    "Target",
    "factory_of",
    "identity",
    "make_production",
    "make_request",
    "parse_share",
    "read_spec",
]
