"""shaketable: put a compose topology on the table, replay an incident, get a verdict with its evidence."""

__version__ = "0.1.0"

__all__ = ["__version__"]
