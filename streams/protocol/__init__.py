"""Rules that clients and the engine share: what a command may say, and which partition it belongs to."""
