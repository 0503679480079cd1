"""The machine below: files, processes, ports, sockets, GPUs, logs. It would make sense in another project."""
