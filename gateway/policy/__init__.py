"""Judging: rails, the policies made of them, and the window that holds a stream back until it is judged."""
