"""`gateway.yaml`, environment and flags → `Settings`.

`yaml_source` reads the file with the place of every value; `layers` lays environment and flags over it; `model` and
`checks` say what is right; `mistakes` words what is not; `load` ties them together; `loaded` is the result;
`schema` and `reference` describe it all to editors and readers.
"""

from gateway.settings.load import load_deployment, load_settings
from gateway.settings.loaded import Settings

__all__ = ["Settings", "load_deployment", "load_settings"]
