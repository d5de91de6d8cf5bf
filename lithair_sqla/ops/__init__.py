"""Looking after a store: what a stream holds, how the whole of it does, what to do about it."""
