"""Video files, cameras and network streams: frames in and out."""
