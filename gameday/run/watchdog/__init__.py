"""The process that outlives a killed run and ends its faults; ``gameday.safety.watchdog`` starts it."""
