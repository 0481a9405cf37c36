"""What stands before and behind every network: letterbox, decode, NMS."""
