"""Other people's ways from an image to its boxes, each a script for an interpreter of its own, beside edgecsp's."""
