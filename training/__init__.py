"""What is trained here and shipped elsewhere. Nothing of it is imported by the gateway or part of its wheel."""
