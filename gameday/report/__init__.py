"""What a team reads afterwards, made from the journal alone, so that a killed run has a report too."""
