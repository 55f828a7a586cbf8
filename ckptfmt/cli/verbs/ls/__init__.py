"""The verb `ls`."""
