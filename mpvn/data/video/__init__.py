"""Read and write video: files, image folders, network streams and cameras."""
