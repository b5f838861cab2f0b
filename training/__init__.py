"""The offline wing: a folder of images in, an evaluated and calibrated checkpoint out."""
