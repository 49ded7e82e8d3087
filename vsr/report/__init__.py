"""Pages that show what a run would do, or has done: the one room that knows HTML.

Each page is one file that fetches nothing. What moves in it is the plain JavaScript and CSS that
lies here; pictures and films are inside, as data.
"""
