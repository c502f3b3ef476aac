"""Anchors of the log outside of this machine: witnesses, time stamps, and the kept checkpoint."""
