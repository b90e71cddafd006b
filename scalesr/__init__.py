"""Super-resolve, restore and measure bioimages that are larger than memory."""
