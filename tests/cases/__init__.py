"""Small inputs as people have them: old codecs, torn and joined files, odd colours and boxes.

Each is made by the tests' own ffmpeg, with nothing random in it. `python -m tests.every_file`
runs vsr on all of them.
"""
