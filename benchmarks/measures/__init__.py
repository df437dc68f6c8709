"""How each kind of figure is taken: functions of (server, contender, scale) that return named values."""
