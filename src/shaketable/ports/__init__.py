"""What the core needs from the outside, as facts and Protocols; adapters provide them, tests fake them."""

from shaketable.ports.hosts import HostFacts, Link, Member

__all__ = ["HostFacts", "Link", "Member"]
