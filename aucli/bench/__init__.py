"""How fast this computer analyses, where the time goes, and how near its limit that is."""
