"""Bad words, a second table, drawn from a list of kinds that was written before any case.

The kinds, by what a user can give (at most five cases a command, function or chapter):

number      not a number; no number at all (text, None, True); a fraction for a count; out of range
size        too large for the memory, for a generator or for the machine; too small to be of use
repeated    the same word, option, file, row, column, class or picture twice
contradict  two options that cannot both be meant; one that has no use beside another
name        unknown; misspelt; empty; with separators; of something reserved
file        wrong kind; empty; cut; no text; other columns; damaged rows; a pickle
place       folder for file; file for folder; missing; no permission; a link; the file itself
tensor      wrong shape; wrong dtype; non-finite; labels out of range; empty batch; no tensor
network     another data set's; other images; other classes; another method's; no module; untrained
pictures    wrong splits: too few a class, a twin in two classes, no classes; unreadable pictures
chapter     a bad parameter of a notebook: value, name or type
twice       the same command by two processes at once
"""
