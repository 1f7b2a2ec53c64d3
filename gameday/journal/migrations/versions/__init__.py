"""The revisions of the journal's tables, oldest first."""
