"""What a network is: layers, networks, VGG configurations, factorizing and merging."""
