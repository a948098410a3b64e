"""Depth-parallel training: Sideways, Skip-Sideways, and the pipelines that they are compared with.

Read in this order:

    keras_layers.sideways_rules   when a module learns, and how long a clip must be
    schedule                      which frame each subnetwork works on when, as data
    rules                         the same over a plan with skips; gradients of whole clips
    stepper                       Sideways step by step, in constant memory
    gpipe                         GPipe, which executes its schedule
    trainer                       their base class: updates within clips
    real_time                     what a network answers while frames keep arriving
    sideways_trainer, back_propagation    `fit` by Sideways, by back-propagation, by GPipe

Import these modules one by one: executors need `rules`, and trainers need executors.
"""
