"""Starting and stopping the whole server on one machine, in the foreground."""
