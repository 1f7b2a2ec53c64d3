"""Why: a run tells people what it does, and a rehearsal must show what they would have been told.

Slack's Web API, as far as ``slack_sdk`` and an incoming webhook need it, in memory: ``workspace``
keeps channels, messages and files, ``methods`` are the API's methods, ``blocks`` refuses what Slack
would refuse, ``levers`` makes it fail on demand, and ``app`` is the HTTP around them.
"""

from sandbox.slack.app import Slack

__all__ = ["Slack"]
