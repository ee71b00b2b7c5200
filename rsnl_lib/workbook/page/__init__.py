"""figure3.html: Figure 3 with live networks in one file."""
