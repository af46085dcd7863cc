"""What the parts agree on: a target's facts."""

from shaketable.ports.targets import Link, Member, Places, Target

__all__ = ["Link", "Member", "Places", "Target"]
