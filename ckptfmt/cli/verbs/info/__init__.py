"""The verb ``info``, which ``ckptfmt PATH`` stands for."""
