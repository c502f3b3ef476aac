"""What is wrong with a deployment, and the command that repairs it. Nothing is changed by looking.

`deployment` finds out once what there is to look at. One file for each thing that is looked at: `machine`, `configuration`,
`state`, `keys`, `callers`, `clock`, `engine`, `log`, `upstreams`, `clients`. Each yields `Finding`s; `examination` runs all.
"""

from gateway.doctor.deployment import Deployment
from gateway.doctor.examination import examine
from gateway.doctor.finding import Finding, Level

__all__ = ["Deployment", "Finding", "Level", "examine"]
