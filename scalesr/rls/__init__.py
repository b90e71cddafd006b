"""RLS: images of single objects that agree with a coarse measurement and are likely under a trained generator.

After Super-Resolution through StyleGAN Regularized Latent Search (arXiv 2405.19112; faces: NeurIPS SSL workshop 2022),
written anew from its formulas. What the paper does not disclose is our own choice, and is named so where it is made.
"""
