"""One race: scalesr and the tools that people use today on the same image, network, tiles and machine."""
