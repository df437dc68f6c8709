"""Access to the server: the client, the one speller of keys, and the scripts."""
