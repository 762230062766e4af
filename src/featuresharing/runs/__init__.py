"""Resumable work of plain arguments, which the command line and Python users call.

:mod:`.subjects` says what is analysed and what names it; :mod:`.marginalizing`, :mod:`.lesioning` and :mod:`.picturing`
write conditionals, curves and pictures of a layer; :mod:`.training` a network, :mod:`.baseline` its predictions,
:mod:`.image_sets` images. All of them stop by :mod:`.stopping`, and keep what is done beside their output.
"""
