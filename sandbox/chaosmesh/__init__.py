"""Why: Chaos Mesh in a box, over the API server of ``sandbox.kubernetes``, with the real lifecycle.

``installation`` is the door. ``webhook`` refuses, ``selection`` chooses, ``controller`` reconciles,
``effects`` carries out; Schedules and Workflows have modules of their own. What a fault does to
requests is the twin's.
"""
