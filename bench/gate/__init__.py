"""The regression gate: what each kind of command and page takes, in counts, against the counts on record."""
