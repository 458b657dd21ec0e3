"""SQL. `unit_of_work` is the way in."""
