"""From comparisons or rows to what the user gets: measured, written, with an exit status."""
