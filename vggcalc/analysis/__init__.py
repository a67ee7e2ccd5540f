"""What a network costs on paper: costs, receptive field, comparison."""
