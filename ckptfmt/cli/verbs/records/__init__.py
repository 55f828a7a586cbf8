"""``ckptfmt records``: what TFRecord files hold."""
