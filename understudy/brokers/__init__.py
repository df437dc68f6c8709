"""Where messages travel. Nothing above this package depends on which broker it is."""
