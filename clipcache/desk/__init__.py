"""Where people who label sit down: each gets images to look at, and nobody has to wait."""

from clipcache.desk.desk import Desk, Dispute, Group
from clipcache.desk.status import Status
from clipcache.desk.suggestions import Card, Suggestion

__all__ = ["Card", "Desk", "Dispute", "Group", "Status", "Suggestion"]
