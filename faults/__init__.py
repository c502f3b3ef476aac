"""The fault campaign: break the disk, the process, the clock and the network under a real gateway, and count what was lost.

`make faults` runs it; docs/reference/fault-campaign.md says what each part does and counts.
"""
