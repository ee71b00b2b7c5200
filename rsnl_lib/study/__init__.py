"""The study: the paper's cells, registered claims, jobs, campaigns, and merging their rows."""
