print("layers: to be written")
