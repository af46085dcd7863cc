"""What people and CI call: the command line and the pytest plugin."""
