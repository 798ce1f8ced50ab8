"""What a log of events amounts to: who asked, whom, how fast, at what cost, and what was refused.

log         events in files, as a table to ask questions of
figures     the questions, and what they come to
screen      the figures in a terminal
page        the same as one HTML file, with charts
"""
