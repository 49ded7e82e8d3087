"""What is said of the commands, and to who has mistyped one."""
