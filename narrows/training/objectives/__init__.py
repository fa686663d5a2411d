"""What is minimized in training, as plain functions of tensors."""
