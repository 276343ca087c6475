"""A user's own features: from labelled samples to a learning curve and a decision.

`diagnose` takes features of any network and labels, and returns a `Report`, whose numbers are an
`Interval` each; `load` reads a report that was saved.
"""

from fatelib.probe.diagnosis import diagnose
from fatelib.probe.estimate import Interval
from fatelib.probe.report import Report, load

__all__ = ["Interval", "Report", "diagnose", "load"]
