"""Planning: what a run can show, what it will take and what it will cost, before it begins."""
