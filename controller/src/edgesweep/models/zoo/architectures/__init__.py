"""Real architectures, small: the package transformers builds them from a configuration, and no weight is downloaded.

What is exported is the package's own code, the same as with published weights; only the sizes in the configuration are
small, and the weights are drawn from a seed. Every builder takes `attention`: `sdpa` calls torch's fused attention,
which exporters translate as a whole (from opset 23 on to one operator); `eager` spells it out in matrix products and a
softmax, which every opset has.
"""
