"""Pure judgement: from a recorded history to findings, outcomes and verdicts. No I/O, no clock."""
