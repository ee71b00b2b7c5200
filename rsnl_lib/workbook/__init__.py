"""What the chapters alone import: parameters, exercises, figures, live views, the page."""
