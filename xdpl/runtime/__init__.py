"""The process, the disk and the machine: files, signals, memory, process groups."""
