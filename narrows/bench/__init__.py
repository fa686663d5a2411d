"""What `narrows bench` measures: one module a subject, whose `rows(names)` yields one dict a line."""
