"""What runs by the clock. Each job names what it does and when; the doing is the domain's."""
