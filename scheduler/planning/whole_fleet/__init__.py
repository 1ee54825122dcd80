"""A fleet whose jobs are all known from the start: a joint plan, and the proved bound on what any plan could emit."""
