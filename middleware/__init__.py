"""What wraps every message. ``middleware.stack`` is the ordered list, with a reason per position."""
