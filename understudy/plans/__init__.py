"""How a workflow lies on the server: one hash, written as it was composed, and what has come of it
(``storage/lua/_workflow.lua`` says what is in it); and what its messages carry of it."""
