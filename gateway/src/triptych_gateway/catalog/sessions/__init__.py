"""Sessions as people see them: made, found, changed, with their categories, jobs and face sessions."""
