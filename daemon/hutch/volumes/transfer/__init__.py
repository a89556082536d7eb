"""Files and folders into and out of volumes without a working folder."""
