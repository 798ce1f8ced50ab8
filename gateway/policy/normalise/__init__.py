r"""What a text says once its disguises are taken off, and which characters of it say so.

    fold          one character to what it stands for: invisible ones to nothing, look-alikes to ASCII, the rest by NFKC
    confusables   the look-alikes
    escapes       `%73`, `\u0073`, `\x73`, `&#115;` to the character they spell
    runs          base64, hexadecimal, Unicode tags and variation selectors to the text they carry
    view          a whole text's views: the folded one, and one for each run that decodes to text
    track         the same views of a text that still streams

A text is judged as it stands, folded (escapes first), and in each decoded run (folded as well). Decoding is done once:
a run within a run is text like any other. All views are made character by character from left to right, so they are
the same however the text was split.
"""
