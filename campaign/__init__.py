"""What the fault and the fuzz campaign share: parts in processes of their own, tallies, a table, results in JSON."""
