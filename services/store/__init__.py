"""What must survive a restart and be shared by processes: documents, logs, leases."""
