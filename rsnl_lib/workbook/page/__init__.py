"""figure3.html and photograph.html: Figure 3 with live networks, each in one file."""
