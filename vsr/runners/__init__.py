"""Who works on the segments of a film: several processes of this machine, later of others.

A runner is handed a store and the segments that are missing in it, and sees to it that they are
finished there. What a worker is told is small and plain: how the job was called, and spans.
"""
