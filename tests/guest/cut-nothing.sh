# The system starts, and ends again.
mark_clean
