"""Why: the whole sandbox is one process with one port, so that it outlives a killed run.

``launch`` starts it, ``server`` is what runs in it, ``assembly`` puts the parts together and
``timekeeper`` lets time pass. What the parts do is theirs: this package only gives them a port.
Importing it costs next to nothing; the modules are imported where they are needed.
"""
