"""Read and write video: files, image folders, pipes, downloads, broadcasts and cameras.

    source -> opened -> decoded, with times -> upright RGB, cropped and scaled -> user

What users see:

    reader          `VideoReader`: all frames of any source, in order
    live            `LiveSource`: the newest frame, for a consumer that may be slower
    writer          `VideoWriter`
    text            draws text on frames
    errors          `VideoError`, `ConnectionLost`, and how damage is reported

Opening a source:

    sources         which kind a source is, whether it is live, and how it is opened
    stream_choice   which of the videos in a file is read
    cameras         cameras of this machine
    incoming        bytes of a pipe, or of a server, for FFmpeg
    download        bytes behind http:// or https://
    link            state of a connection: lost, complete, or no longer needed
    background      waits for data in a thread, so that a wait can be interrupted
    reconnecting    opens a live source again after a loss
    playlist        notices the missing parts of HLS and DASH
    endings         endings of videos and images; hidden files

Decoding:

    container       frames of what FFmpeg has opened, with their times and damage
    packets         the packets that frames are decoded from, and what is missing between them
    h264_numbers    finds missing pictures of H.264
    stated          how long a file says that its video is
    seeking         single frames of a file by number
    image_folder    a folder of images as a video
    image_series    which images of a folder are its frames

When and how frames are shown:

    clock           from the time stamps of a container to times
    timeline        `Timeline`: when frames are shown, and which are due at a rate
    rates           the same for a stream, whose frames arrive one by one
    framing         which part of a frame is kept, and at what size
    frames          converts decoded frames to upright RGB
"""
