"""What this machine has, what of it works, and what to do about the rest."""

from vsr.doctor.examinations import examine
from vsr.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
