"""The life of a trial and of a campaign, and the reading of scenarios."""
