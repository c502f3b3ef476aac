"""The fuzz campaign: hostile input at the parsers, the wire and the port of a real gateway, and a count of what it did.

`make fuzz` runs it; docs/reference/fuzz-campaign.md says what each part does and counts.
"""
