"""Named policies for actors. The algorithms are the engine's; here they only get their numbers and names."""
