"""The sources of configuration kept open, and changed while the gateway runs.

Read in this order: ``options`` (what the command line says, where things lie), ``opening`` (the
database), ``snapshot`` and ``outage`` (what there is while it is away), ``runtime`` (file,
environment and database read together, and again when one of them changes), ``documents`` (what is
shown of it), ``disk`` (replacing a file safely), ``file`` and ``database`` (the two homes that a
change is written to), ``administration`` (every change goes through here), ``rotation`` (refresh
tokens that their endpoints have rotated).
"""

from dragoman.runtime.options import (
    Options,
    config_path,
    data_dir_of,
    database_url,
    environ_of,
    prepare_data_dir,
    read_catalog,
    read_environment,
)
from dragoman.runtime.runtime import DEMO_MODEL, GatewayState, Runtime

__all__ = (
    "DEMO_MODEL",
    "GatewayState",
    "Options",
    "Runtime",
    "config_path",
    "data_dir_of",
    "database_url",
    "environ_of",
    "prepare_data_dir",
    "read_catalog",
    "read_environment",
)
