"""One training by several processes: who they are, how they talk, and how a lost one is noticed.

torchrun starts the ranks and tells each its number in environment variables. Numbers and objects
travel over gloo, gradients on CUDA over NCCL. A program that torchrun did not start is the only
rank of its run, and its `Ranks` does nothing.

A rank that is killed breaks its connections, but one that hangs, or whose machine is gone, does
not. So each rank has a thread that counts up a number in torchrun's store every second, and reads
those of the others. Collectives may wait long (kernels compile, checkpoints are written); it is the
missing pulse that tells a dead rank from a slow one.
"""
