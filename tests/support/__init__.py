"""What tests share: data and media that they make, servers that they start, oracles, doubles and child programs."""
