"""UW CSE 490g1, homework 2: batch normalization in C, in six functions and a layer that calls them.

A matrix is ``rows x cols``, rows are examples, columns are ``groups x n`` with n elements of a channel
per example. Two editions are served: ``groups`` (batchnorm_layer.c) and the older ``spatial``
(batch_norm.c), whose functions take n instead of the number of groups.
"""
