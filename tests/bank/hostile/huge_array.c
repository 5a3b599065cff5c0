char huge[1L << 30] = {1};
