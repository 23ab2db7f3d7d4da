"""Names of the families of faces, without anything that takes time to import."""

FAMILIES = ("ict", "makehuman")
BOTH = "both"
