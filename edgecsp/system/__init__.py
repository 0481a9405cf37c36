"""The machine: CPU, memory, Jetson boards, installed versions, child processes, text for terminals and logs."""
