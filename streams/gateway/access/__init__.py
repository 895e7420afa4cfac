"""Who may: tokens, sessions, limits, and the checks of a request before the API sees it."""
