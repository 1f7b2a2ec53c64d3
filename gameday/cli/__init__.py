"""Why: people act through one command, ``gameday``; this package is its surface and nothing more.

One file a group of commands; each imports what it needs inside the call, so that ``gameday list``
answers at once. ``main`` knows which commands there are and turns every error into a message and an
exit code; ``output`` is how anything reaches the screen.
"""
