"""Where in a text that still streams a match may be going on: regular expressions as automata that know no I/O.

    charset   sets of code points, as RE2 understands them
    syntax    RE2's notation to a tree
    nfa       the tree to states; which of them can still grow into a match
    dfa       sets of states, made when first met
    scanner   follows one text character by character; holds what is undecided, reports what matched

Matching is leftmost-longest without overlap, rule by rule, as `re2` does it with `longest_match`; the scanner reaches
the same matches whatever the text was split into.
"""
