"""What a person looks at: pictures made of frames, maps and tables."""
