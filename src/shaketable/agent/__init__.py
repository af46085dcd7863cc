"""What runs beside the targets, inside the tools container: standard library only, and Locust for the load."""
