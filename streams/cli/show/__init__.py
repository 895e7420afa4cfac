"""The output of the command line: bars, questions, messages, times."""
