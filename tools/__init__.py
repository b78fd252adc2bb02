"""What is generated from the code and is not part of the image: CRDs and the lists in docs/."""
