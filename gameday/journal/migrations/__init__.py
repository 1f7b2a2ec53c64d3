"""Why: a journal lives for years, and its tables grow with the program.

Alembic's environment and revisions. They are run by ``gameday.journal.migrate``, never by hand; a
database that is up to date never loads them.
"""
